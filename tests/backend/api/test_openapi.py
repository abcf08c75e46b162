"""The OpenAPI document is valid, complete, and free of what generators stumble over."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from densitylab.backend.api.app import create_app
from densitylab.backend.shared.settings import Settings

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_app(Settings(home=tmp_path_factory.mktemp("openapi"))).openapi()


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_document_is_valid_openapi(document: dict[str, Any]):
    assert document["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_everything_is_described(document: dict[str, Any]):
    info = document["info"]
    assert info["description"] and info["contact"] and info["license"] and document["servers"]
    declared = {tag["name"] for tag in document["tags"] if tag["description"]}
    missing = []
    for path, method, operation in operations(document):
        name = f"{method} {path}"
        missing += [name] if not operation.get("description") or not set(operation["tags"]) <= declared else []
        missing += [
            f"{name} {item['in']} {item['name']}"
            for item in operation.get("parameters", [])
            if not item.get("description")
        ]
        missing += [
            f"{name} {status}" for status, answer in operation["responses"].items() if not answer["description"]
        ]
    for name, schema in document["components"]["schemas"].items():
        missing += [name] if not schema.get("description") else []
        missing += [f"{name}.{field}" for field, item in schema.get("properties", {}).items() if not described(item)]
    assert not missing, "\n".join(missing)


def described(schema: dict[str, Any]) -> bool:
    return bool(schema.get("description"))


def test_everything_has_an_example(document: dict[str, Any]):
    missing = []
    for path, method, operation in operations(document):
        name = f"{method} {path}"
        missing += [f"{name} {item['name']}" for item in operation.get("parameters", []) if item.get("example") is None]
        contents = dict(operation.get("requestBody", {}).get("content", {}))
        for status, answer in operation["responses"].items():
            contents |= answer.get("content", {}) if status < "300" else {}
        contents.pop("application/octet-stream", None)
        missing += [f"{name} {media_type}" for media_type, item in contents.items() if item.get("example") is None]
    for name, schema in document["components"]["schemas"].items():
        missing += [f"{name}.{field}" for field, item in schema.get("properties", {}).items() if "examples" not in item]
    assert not missing, "\n".join(missing)


def test_the_examples_fit_their_schemas(document: dict[str, Any]):
    resolver = {"components": document["components"]}
    wrong = []
    for path, method, operation in operations(document):
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [answer.get("content", {}) for status, answer in operation["responses"].items() if status < "300"]
        for media_type, item in (pair for content in contents for pair in content.items()):
            if media_type in ("application/json", "multipart/form-data") and "example" in item:
                validator = Draft202012Validator({**resolver, **item["schema"]})
                wrong += [f"{method} {path}: {error.message[:200]}" for error in validator.iter_errors(item["example"])]
    assert wrong == []


def test_answers_say_what_is_always_there(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    for name in ("Run", "Experiment", "Evaluation", "CatalogEntry", "CompleteRunSpec", "Attribution", "Problem"):
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"]), name
    assert "required" not in schemas["RunSpec"]  # `{}` is a spec


def test_requests_and_answers_have_named_types(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    assert schemas["ExperimentRequest"]["properties"]["spec"]["$ref"].endswith("/RunSpec")
    assert schemas["Experiment"]["properties"]["request"]["$ref"].endswith("/PostedRequest")
    assert schemas["Run"]["properties"]["spec"]["$ref"].endswith("/CompleteRunSpec")
    assert "`marginal_density`" in schemas["RunSpec"]["properties"]["regularizer"]["description"]


def test_no_two_types_fold_into_one_name(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    # A generator names the type of an object inside a schema by the schema and the field
    inline = {
        f"{name}{field.title().replace('_', '')}"
        for name, schema in schemas.items()
        for field, item in schema.get("properties", {}).items()
        if item.get("type") == "object" or "anyOf" in item
    }
    # and that of a list's items by the field's singular, if they are more than a plain type
    inline |= {
        field.title().replace("_", "").removesuffix("s")
        for schema in schemas.values()
        for field, item in schema.get("properties", {}).items()
        if {"minimum", "maximum", "pattern", "enum"} & set(item.get("items", {}))
    }
    assert inline & set(schemas) == set()
    assert all(re.fullmatch(r"[A-Za-z]+", name) for name in schemas)


def test_an_operation_has_one_type_of_answer(document: dict[str, Any]):
    for path, method, operation in operations(document):
        contents = [
            (media_type, str(content.get("schema")))
            for status, answer in operation["responses"].items()
            if status < "300"
            for media_type, content in answer.get("content", {}).items()
        ]
        assert len(set(contents)) == 1, f"{method} {path}"


def test_generators_know_every_type_of_answer(document: dict[str, Any]):
    known = {"application/json", "application/octet-stream", "text/csv", "text/event-stream", "text/html", "text/plain"}
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert status >= "300" or set(answer.get("content", {})) <= known, f"{method} {path}"


def test_no_value_of_an_enumeration_hides_a_method_of_a_text(document: dict[str, Any]):
    roles, null = document["components"]["schemas"]["PreviewColumn"]["properties"]["role"]["anyOf"]
    names = dict(zip(roles["enum"], roles["x-enum-varnames"], strict=True))
    assert null == {"type": "null"} and (names["split"], names["mask"]) == ("split_", "mask")
    parameters = [item for _, _, operation in operations(document) for item in operation.get("parameters", ())]
    (order,) = (item["schema"] for item in parameters if "index" in item["schema"].get("enum", ()))
    assert not any(hasattr(str, name) for name in order["x-enum-varnames"])


def test_tags_and_304_are_declared_where_the_api_gives_them(document: dict[str, Any]):
    for path, method, operation in operations(document):
        streams = path.endswith("/events")
        tagged = method in ("get", "patch") and path.startswith("/api/") and not streams
        answers = operation["responses"]
        assert ("ETag" in answers.get("200", {}).get("headers", {})) == tagged, f"{method} {path}"
        assert ("304" in answers) == (tagged and method == "get"), f"{method} {path}"
        assert "content" not in answers.get("304", {})


def test_tokens_are_declared_with_and_without_one(tmp_path: Path, document: dict[str, Any]):
    guarded = create_app(Settings(home=tmp_path, api_token="secret")).openapi()
    for path, method, operation in operations(guarded):
        optional = document["paths"][path][method]["security"]
        if path in ("/healthz", "/readyz", "/problems/{name}"):
            assert operation["security"] == optional == []
        else:
            assert operation["security"] == [{"token": []}] and optional == [{"token": []}, {}]
