"""Results of groups by the names of the groups."""

from densitylab.backend.shared.contracts import Attribute, CatalogEntry
from densitylab.frontend.analysis.group_names import group_names, with_group_name
from densitylab.frontend.client.catalog import Catalog


def test_groups_are_named_as_the_data_set_or_the_attributes_of_the_evaluation_say():
    entry = CatalogEntry(
        key="birds",
        label="Birds",
        summary="",
        params=[],
        rules=[],
        cautions=[],
        class_names=["landbird", "waterbird"],
        group_names=["on land", "on water"],
        attributes=[
            Attribute(name="place", values=["land", "water"]),
            Attribute(name="colour", values=["red", "blue", "grey"]),
        ],
    )
    catalog = Catalog({"dataset": [entry]})
    assert group_names(catalog, "birds", {"attributes": None}) == ["on land", "on water"]
    crossed = group_names(catalog, "birds", {"attributes": ["place", "colour"]})
    assert len(crossed) == 12 and crossed[6 * 1 + 3 * 1 + 2] == "waterbird, water, grey"
    assert with_group_name("Group accuracy: group 11", crossed) == "Group accuracy: waterbird, water, grey"
    assert with_group_name("Group accuracy: group 12", crossed) == "Group accuracy: group 12"
    assert with_group_name("Group accuracy: group 0, validation", ["a, b"]) == "Group accuracy: a, b, validation"
    assert with_group_name("Worst-group accuracy", crossed) == "Worst-group accuracy"
    assert group_names(catalog, "gone", {}) == []
