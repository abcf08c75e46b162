"""Where the test images behind a point lead."""

from datetime import UTC, datetime

import pytest

from densitylab.backend.shared.contracts import CatalogEntry, CatalogImages, CatalogParam, Evaluation, Status
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.sample_drilldown import ImageQuery, maps_link


def param(name: str, default: object, *, kind: str | None = None) -> CatalogParam:
    return CatalogParam.model_construct(name=name, default=default, kind=kind)


OFFERED = Catalog.model_construct(
    {
        "evaluation": [
            CatalogEntry.model_construct(key="pgd", params=[param("epsilons", [0.1]), param("steps", 40)]),
            CatalogEntry.model_construct(key="stability", params=[param("perturbation", None, kind="perturbation")]),
        ],
        "perturbation": [
            CatalogEntry.model_construct(key="attack", params=[param("epsilon", 0.03), param("steps", 10)]),
            CatalogEntry.model_construct(key="noise", params=[param("sigma", 0.05)]),
        ],
    }
)


def asked(key: str, params: dict[str, object], *, perturbation: str = "", x: float = 0.1) -> ImageQuery:
    item = Evaluation(
        id=1, run=1, name=key, key=key, params=params, status=Status.SUCCEEDED, task=1, created_at=datetime.now(UTC)
    )
    images = CatalogImages(array="broken_at", pick="x", words="that break", perturbation=perturbation)
    return ImageQuery(item, images, "accuracy", x)


def test_images_that_an_attack_broke_are_shown_under_it_with_its_strength_and_steps():
    page, words = maps_link(asked("pgd", {"epsilons": [0.1], "steps": 40}, perturbation="attack"), OFFERED)
    assert (page, words) == (
        "stability",
        {
            "perturbation": "attack",
            "strength": "0.1",
            "perturbation_params": '{"steps":40}',
        },
    )


def test_the_least_stable_images_are_shown_under_the_perturbation_of_their_measure():
    own = {"perturbation": {"key": "noise", "params": {"sigma": 0.2}}}
    assert maps_link(asked("stability", own), OFFERED) == ("stability", {"perturbation": "noise", "strength": "0.2"})


def test_images_that_nothing_perturbed_are_shown_as_they_are():
    assert maps_link(asked("pgd", {"steps": 40}), OFFERED) == ("saliency", {})


@pytest.mark.parametrize(
    ("key", "page"),
    [
        ("pgd_linf", "stability"),
        ("pgd_l2", "saliency"),
        ("square_linf", "saliency"),
        ("transfer_linf", "saliency"),
        ("autoattack_linf", "saliency"),
    ],
)
def test_images_are_shown_under_an_attack_only_where_the_page_has_that_attack(live_api, key, page):
    offered = live_api.client.catalog()
    (plot,) = offered.entry("evaluation", key).plots
    assert plot.images is not None  # so its points can be opened
    point = asked(key, {"epsilons": [0.1]}, perturbation=plot.images.perturbation)
    shown, words = maps_link(point, offered)
    assert shown == page
    assert words.get("perturbation") == ("attack" if page == "stability" else None)
