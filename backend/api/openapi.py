"""The OpenAPI document: what FastAPI derives from the routes, completed for generators and readers."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from densitylab.backend.api.errors import responses
from densitylab.backend.api.openapi_examples import add_examples
from densitylab.backend.shared.catalog import Catalog, Entry
from densitylab.backend.shared.contracts import Problem

_BEARER = {"type": "http", "scheme": "bearer", "description": "DENSITYLAB_API_TOKEN, or a token of POST /api/v1/tokens"}

_DESCRIPTION = """\
Launch, watch and compare trainings of image classifiers, and explain what they rely on.

Numbers of resources are integers. Times are ISO 8601 in UTC. Every error is a problem of RFC 9457 with a JSON pointer
to each wrong field. Listings are pages: pass `next_cursor` as `cursor` to get the next one."""

# Forms with a file, by FastAPI's name of their schema
_FORMS = {
    "Body_register_archive": ("ArchiveForm", "A zip archive of images and how to register it."),
    "Body_preview_archive": ("PreviewForm", "A zip archive of images and how to read it."),
    "Body_import_model_file": ("ModelForm", "A file of weights and how to import it."),
    "Body_inspect_model": ("InspectionForm", "A file of weights and the data set that it should fit."),
}
_TAGS = {
    "catalog": "What can be launched: data sets, models, regularizers, evaluations and their parameters.",
    "models": "Models that were trained elsewhere: inspection and import of their weights.",
    "datasets": "Data sets: their state, their images, their preparation, and the registration of your own.",
    "experiments": "Experiments: groups of runs launched together.",
    "studies": "Studies: experiments launched together for a question, and the report that answers it.",
    "runs": "Runs: the training of one model each, with its results.",
    "metrics": "Training curves.",
    "log": "Log lines of runs.",
    "artifacts": "Files of runs.",
    "exports": "Models to take away: files that other programs read, tested, in one folder.",
    "evaluations": "Evaluations of trained runs, and their values per image.",
    "comparisons": "Groups over seeds, the selected λ of each method, tests and claims.",
    "attributions": "Maps of the same images under several runs.",
    "densities": "log p along a line and on a plane through an image.",
    "penalties": "Mean penalties of a regularizer, and the λ that follows from them.",
    "uploads": "Images of your own.",
    "samples": "Test images by what runs predict of them.",
    "tasks": "Units of work.",
    "system": "Workers, queues, disk and versions.",
    "events": "Events of runs, as a stream and as webhooks.",
    "access": "Tokens and the log of changes.",
    "health": "Liveness, readiness and monitoring.",
}

# Fields of answers that repeat what was posted
_AS_POSTED: dict[tuple[str, str], dict[str, Any]] = {
    ("Experiment", "request"): {"$ref": "#/components/schemas/PostedRequest"},
    ("Experiment", "additions"): {"type": "array", "items": {"$ref": "#/components/schemas/RunsRequest"}},
}

# A name of its own: generators would give the alternatives the name of another schema
_POSTED_REQUEST = {
    "title": "PostedRequest",
    "description": "A request that made an experiment: a launch, an import, or a run that logs.",
    "anyOf": [
        {"$ref": f"#/components/schemas/{name}"} for name in ("ExperimentRequest", "ImportRequest", "LogRequest")
    ],
}

# The kind of the catalog entries that a field of a request takes
_KINDS = {
    "RunSpec": {
        "dataset": "dataset",
        "model": "model",
        "regularizer": "regularizer",
        "schedule": "schedule",
        "optimizer": "optimizer",
        "lr_schedule": "lr_schedule",
        "augmentation": "augmentation",
        "algorithm": "algorithm",
        "evaluations": "evaluation",
    },
    "AttributionRequest": {"method": "attribution", "perturbation": "perturbation"},
}

_OPEN = ("/healthz", "/readyz", "/problems/{name}")  # without a token
_EVERYWHERE = {
    "X-Request-ID": {"description": "number of the request in the log", "schema": {"type": "string"}},
    "RateLimit-Policy": {
        "description": "requests (q) per seconds (w) of one address; absent without a limit",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "requests that are left (r), and seconds (t) until all are there again",
        "schema": {"type": "string"},
    },
}
_ETAG = {
    "description": "tag of this content: with If-None-Match, the answer is 304 without content while it is the same",
    "schema": {"type": "string"},
}
_RETRY_AFTER = {"description": "seconds to wait before the next attempt", "schema": {"type": "integer", "minimum": 1}}
_LOCATION = {"description": "path of the new resource", "schema": {"type": "string", "format": "uri-reference"}}


def document(app: FastAPI, catalog: Catalog, *, token_required: bool) -> dict[str, Any]:
    """Return the document of the app's routes.

    Args:
        catalog: its entries describe the parameters of components.
        token_required: whether a request without a token is refused.
    """
    answer = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=_DESCRIPTION,
        routes=app.routes,
        webhooks=app.webhooks.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        servers=app.servers or [{"url": "/", "description": "this server"}],
        contact={"name": "The DensityLab developers"},
        license_info={"name": "MIT", "identifier": "MIT"},
    )
    components = answer.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _use_problem(schemas)
    _rename(
        answer,
        {
            "Value": "MetricValue",
            "RunSource": "ModelSource",
            **{generated: name for generated, (name, _) in _FORMS.items()},
        },
    )
    for name, description in _FORMS.values():
        schemas[name]["description"] = description
    _rename(answer, {f"{name}-Input": name for name in _names(schemas, "-Input")})
    _rename(answer, {f"{name}-Output": f"Complete{name}" for name in _names(schemas, "-Output")})
    schemas["PostedRequest"] = _POSTED_REQUEST
    for (schema, field), kind in _AS_POSTED.items():
        described = schemas[schema]["properties"][field]
        schemas[schema]["properties"][field] = {"description": described["description"], **kind}
    for schema, fields in _KINDS.items():
        for field, name in fields.items():
            schemas[schema]["properties"][field]["description"] += "\n\n" + _choices(catalog, name)
    for schema in schemas.values():
        _remove_titles(schema)
    _name_values(answer)
    components["securitySchemes"] = {"token": _BEARER}
    for path, method, operation in _operations(answer):
        _complete(path, method, operation, token_required=token_required)
    add_examples(answer)
    return answer


def _use_problem(schemas: dict[str, Any]) -> None:
    """Put Problem in place of FastAPI's own error models."""
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    model = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas.update(model.pop("$defs", {}))
    schemas["Problem"] = model


def _names(schemas: Mapping[str, Any], suffix: str) -> list[str]:
    return [name.removesuffix(suffix) for name in schemas if name.endswith(suffix)]


def _rename(answer: dict[str, Any], names: Mapping[str, str]) -> None:
    """Rename schemas, and every reference to them."""
    schemas = answer["components"]["schemas"]
    for old, new in names.items():
        schemas[new] = schemas.pop(old)
        schemas[new]["title"] = new
    references = {f"#/components/schemas/{old}": f"#/components/schemas/{new}" for old, new in names.items()}
    for node in _nodes(answer):
        if isinstance(node.get("$ref"), str):
            node["$ref"] = references.get(node["$ref"], node["$ref"])


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from _nodes(child)


def _remove_titles(schema: dict[str, Any]) -> None:
    """Remove the titles inside a schema: they repeat the fields' names, and generators make type names of them."""
    for node in _nodes({key: value for key, value in schema.items() if key != "title"}):
        if isinstance(node.get("title"), str):
            del node["title"]


def _name_values(answer: dict[str, Any]) -> None:
    """Name the values of enumerations with a value such as "split": generators derive a class from Python's str, whose
    method has that name."""
    for node in _nodes(answer):
        values = node.get("enum")
        if isinstance(values, list) and any(hasattr(str, value) for value in values if isinstance(value, str)):
            node["x-enum-varnames"] = [f"{value}_" if hasattr(str, value) else value for value in values]


def _choices(catalog: Catalog, kind: str) -> str:
    """Return a Markdown list of the entries of a kind, with their parameters."""
    return "\n".join(f"- `{entry.key}`: {entry.label}{_params(entry)}" for entry in catalog.all(kind))


def _params(entry: Entry) -> str:
    listed = [
        f"`{param.name}` ({', '.join(map(str, param.choices)) or param.type}; default {param.default})"
        for param in entry.params
    ]
    return f". Parameters: {', '.join(listed)}" if listed else ""


def _operations(answer: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in answer["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _complete(path: str, method: str, operation: dict[str, Any], *, token_required: bool) -> None:
    """Declare the security and the headers of an operation, and its event stream as text, which 3.1 can express."""
    if token_required and path not in _OPEN:
        operation["responses"] |= {str(status): answer for status, answer in responses(401).items()}
    required: list[dict[str, list[str]]] = [{"token": []}]
    operation["security"] = [] if path in _OPEN else required if token_required else [*required, {}]
    if "requestBody" in operation:
        operation["responses"] |= {str(status): answer for status, answer in responses(415).items()}
    whole = not any("text/event-stream" in item.get("content", {}) for item in operation["responses"].values())
    tagged = whole and path.startswith("/api/") and method in ("get", "patch")
    if tagged and method == "get":
        operation["responses"]["304"] = {"description": "If-None-Match names the present content"}
    for status, response in operation["responses"].items():
        headers = response.setdefault("headers", {})
        headers |= _EVERYWHERE
        if tagged and status in ("200", "206", "304"):
            headers["ETag"] = _ETAG
        if status in ("429", "503"):
            headers["Retry-After"] = _RETRY_AFTER
        if method == "post" and status in ("201", "202"):
            headers["Location"] = _LOCATION
        stream = response.get("content", {}).get("text/event-stream")
        if stream is not None:
            stream.pop("itemSchema", None)
            stream["schema"] = {"type": "string", "description": "server-sent events; the data of each is JSON"}
