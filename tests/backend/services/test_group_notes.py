"""The note on small groups counts the images that the evaluations of a launch use."""

import math

from densitylab.backend.services.estimates.group_notes import note
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import EvaluationSpec, RunSpec

CATALOG = Catalog.built_in()
COUNTS = {"train": [900, 100], "validation": [90, 10], "test": [700, 96]}


def told(*evaluations: dict[str, object], counts: dict[str, list[int]] = COUNTS) -> str | None:
    spec = specs.complete(CATALOG, {"dataset": {"key": "textured_digits"}, "evaluations": list(evaluations)})
    return note(spec, CATALOG, counts)


def test_the_width_is_that_of_the_smallest_group():
    half = 100 * 1.96 * math.sqrt(0.25 / 100)  # Wilson's interval of 48 of 96 is that of 50 of 100
    assert told({"key": "groups"}) == (
        f"The smallest group has 96 test images: the worst group's accuracy of a run is known to ±{half:.0f} points at "
        "worst. More seeds narrow the spread of trainings, not that of images, over which a claim on Compare is tested "
        "too."
    )


def test_an_attack_on_some_images_has_fewer_of_the_group():
    text = told({"key": "groups"}, {"key": "pgd_linf", "params": {"samples": 199}})
    assert text is not None and text.startswith("The smallest group has about 24 of the images that are evaluated")
    assert text.endswith("All 796 test images have 96 of it.")


def test_groups_that_an_evaluation_makes_itself_have_sizes_that_are_not_known():
    own = EvaluationSpec(key="groups", params={"attributes": ["background"]})
    assert note(RunSpec(evaluations=[own]), CATALOG, COUNTS) is None
    assert note(RunSpec(evaluations=[own, EvaluationSpec(key="groups")]), CATALOG, COUNTS) is not None


def test_there_is_none_where_enough_images_are_evaluated_or_no_groups():
    assert told({"key": "groups"}, counts={"test": [300, 200]}) is None
    assert told({"key": "leakage"}) is None and told({"key": "groups"}, counts={}) is None
    assert told({"key": "groups", "split": "validation"}) is None
