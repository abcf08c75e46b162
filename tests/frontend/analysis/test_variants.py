"""Words that tell evaluations of one kind apart."""

import pytest

from densitylab.backend.shared.contracts import CatalogEntry, CatalogParam
from densitylab.frontend.analysis.variants import differing_params
from densitylab.frontend.client.catalog import Catalog

CATALOG = Catalog(
    {
        "evaluation": [
            CatalogEntry.model_construct(
                key="leakage",
                params=[CatalogParam.model_construct(name="attribution", type="component", kind="attribution")],
                metrics=[],
            )
        ],
        "attribution": [
            CatalogEntry.model_construct(key=key, label=key.capitalize()) for key in ("gradient", "occlusion")
        ],
    }
)


def occlusion(patch: int, samples: int = 200) -> dict[str, object]:
    return {"attribution": {"key": "occlusion", "params": {"patch": patch, "stride": 1}}, "samples": samples}


GRADIENT = {"attribution": {"key": "gradient", "params": {}}, "samples": 200}


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([GRADIENT], ["Occlusion"]),
        ([occlusion(2)], ["patch 1"]),
        ([GRADIENT, occlusion(2)], ["Occlusion", "patch 1"]),
        ([GRADIENT | {"samples": 1000}], ["Occlusion", "samples 200"]),
    ],
)
def test_settings_of_a_component_are_named_against_the_same_component_alone(others, words):
    assert differing_params(occlusion(1), others, "leakage", CATALOG) == words
