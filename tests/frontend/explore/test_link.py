"""The link of the saliency and stability pages: what it leaves out, and that it is read as it was written."""

import pytest

from densitylab.frontend.explore.link import FIELDS, query_of

VIEW = {
    "runs": [3, 7],
    "split": "test",
    "samples": "12,40",
    "method": "gradient",
    "params": {"steps": 8},
    "target": "label",
    "perturbation": "attack",
    "strength": 0.05,
    "perturbation_params": {},
    "class": "4",
    "only": "wrong_3",
    "worst": "leakage.l2",
    "pin": 5,
    "starred": [1, 2],
    "set": "odd ones",
    "layout": "one run at a time",
    "at": 7,
    "sign": "positive",
    "palette": "grey",
    "clip": 99.9,
    "opacity": 0.5,
    "outline": True,
    "own_scale": False,
    "zoom": 4,
}


def test_what_is_usual_is_left_out():
    assert query_of({field.name: field.default for field in FIELDS}) == {}
    assert query_of({"runs": [3, 7], "samples": "12,40", "perturbation": "attack", "strength": 0.05}) == {
        "runs": "3,7",
        "samples": "12,40",
        "perturbation": "attack",
        "strength": "0.05",
    }


def test_a_link_is_read_as_it_was_written():
    query = query_of(VIEW)
    read = {field.name: field.read(query[field.name]) if field.name in query else field.default for field in FIELDS}
    assert {name: read[name] for name in VIEW} == VIEW


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs", "1,a"),
        ("runs", "9" * 10),
        ("strength", "nan"),
        ("strength", "1e99"),
        ("params", "[1]"),
        ("clip", "98"),
        ("opacity", "2"),
        ("zoom", "0"),
        ("outline", "yes"),
        ("layout", "upside down"),
        ("set", "x" * 101),
        ("pin", "-1"),
        ("split", "train"),
    ],
)
def test_nonsense_is_refused(name: str, text: str):
    with pytest.raises(ValueError):
        next(field for field in FIELDS if field.name == name).read(text)
