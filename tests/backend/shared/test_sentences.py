"""Errors of contracts are sentences for people."""

import re
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from densitylab.backend.api.app import create_app
from densitylab.backend.shared import contracts
from densitylab.backend.shared.catalog import Catalog, UnknownKey
from densitylab.backend.shared.contracts import Request, violations
from densitylab.backend.shared.contracts.sentences import PATTERNS
from densitylab.backend.shared.settings import Settings

REQUESTS = [item for item in vars(contracts).values() if isinstance(item, type) and issubclass(item, Request)]
WRONG = [
    None,
    True,
    "",
    "a b!",
    "x" * 30_000,
    "\x00",
    "\udcff",
    -1,
    0.5,
    1e400,
    float("nan"),
    10**30,
    [],
    [[]],
    {},
    b"",
]
JARGON = re.compile(r"[Ii]nput|should|pydantic|type=|https?://\w|_type|Value error|NoneType|\b(str|int|dict|float)\b")


def refusals(model: type[Request], content: dict[str, object]) -> dict[str, str]:
    try:
        model.model_validate(content)
    except ValidationError as error:
        return {item.pointer: item.detail for item in violations(error)}
    return {}


@pytest.mark.parametrize("model", REQUESTS)
def test_no_refused_value_is_answered_in_the_library_s_words(model: type[Request]):
    refused = 0
    for name in [*model.model_fields, "unknown"]:
        for value in WRONG:
            for content in ({name: value}, {name: [value]}, {name: {"a": value}}):
                for detail in refusals(model, content).values():
                    refused += 1
                    assert not JARGON.search(detail), detail
                    assert len(detail) < 400  # the value of 30,000 characters is not repeated
                    detail.encode()
    assert refused


@pytest.mark.parametrize(
    ("model", "content", "expected"),
    [
        (
            contracts.RunPatch,
            {"tags": ["ok", "my tag!"]},
            {"/tags/1": 'a tag has letters, digits, - _ . and :, and begins with a letter or a digit; got "my tag!"'},
        ),
        (contracts.RunsRequest, {"lambdas": [-1.0]}, {"/lambdas/0": "expected a number of at least 0; got -1.0"}),
        (contracts.RunsRequest, {"seeds": []}, {"/seeds": "expected 1 value or more; got 0"}),
        (contracts.ExperimentPatch, {"nmae": "x"}, {"/nmae": "there is no field of this name; did you mean name?"}),
        (contracts.RunSpec, {"epochs": True}, {"/epochs": "expected a whole number; got true"}),
        (contracts.RunSpec, {"sampling": "class"}, {"/sampling": None}),
        (contracts.EvaluationSpec, {"params": {}}, {"/key": "this field is required"}),
        (contracts.RunSpec, {"model": {"kee": "mlp"}}, {"/model/key": None, "/model/kee": None}),
    ],
)
def test_sentences_name_what_was_expected_and_what_came(model, content, expected):
    errors = refusals(model, content)
    assert errors.keys() == expected.keys()
    assert all(detail is None or errors[pointer] == detail for pointer, detail in expected.items())


def test_a_request_in_json_is_read_as_before():
    text = '{"name": "x", "priority": "high", "sweep": {"lambda_": [0, 1e-3]}}'
    request = contracts.ExperimentRequest.model_validate_json(text)
    assert request.priority is contracts.Priority.HIGH
    assert request.model_dump(exclude_unset=True).keys() == {"name", "priority", "sweep"}
    assert contracts.RegisterRequest.model_validate_json('{"label": "a", "path": "b", "image_size": [8, 8]}').image_size


def test_every_pattern_of_the_api_is_put_into_words(tmp_path):
    document = create_app(Settings(home=tmp_path)).openapi()
    assert set(_patterns(document)) <= PATTERNS.keys()


def _patterns(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        for inner in node.values():
            yield from _patterns(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _patterns(inner)


@pytest.mark.parametrize(
    ("kind", "key", "near"), [("model", "mlpp", "mlp"), ("dataset", "blockmnst", "blockmnist"), ("model", "qqqq", None)]
)
def test_an_unknown_key_suggests_the_closest(kind, key, near):
    with pytest.raises(UnknownKey) as refused:
        Catalog.built_in().find(kind, key)
    assert ("did you mean" in str(refused.value)) == (near is not None)
    assert near is None or str(refused.value).endswith(f"; did you mean {near}?")
