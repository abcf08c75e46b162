"""Examples in the OpenAPI document: requests and answers of a real system, recorded by `benchmarks.record_examples`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_RECORDED = Path(__file__).with_name("openapi_examples.json")
# Of parameters that the recorded requests do without
_PARAMETERS: dict[str, Any] = {
    "cursor": "WyItaWQiLDQyLDQyXQ",
    "q": "smooth",
    "owner": ["administrator"],
    "status": ["failed", "cancelled"],
    "model": ["mlp", "small_cnn"],
    "regularizer": ["marginal_density"],
    "tag": ["tutorial"],
    "seed": [0, 1],
    "origin": ["imported"],
    "name": ["weak smoothing"],
    "ids": [3, 4],
    "index": [0, 7],
    "image_size": 96,
    "baseline": 3,
    "archived": [False],
    "has_model": True,
    "fields": ["id", "status", "results"],
    "created_after": "2026-11-01T00:00:00Z",
    "created_before": "2026-12-01T00:00:00Z",
    "Idempotency-Key": "first-of-monday",
    "If-Match": '"6f1a0c"',
    "If-None-Match": '"6f1a0c"',
    "Range": "bytes=0-1023",
    "equals": 1.0,
    "worst": "accuracy.confidence",
    "stream_token": "shown_once",
    "caller": "administrator",
    "If-Range": '"6f1a0c"',
}
# Of schemas that the recorded requests and answers do without
_WRONG = {"pointer": "/spec/lambda_", "detail": "expected a number of at least 0; got -1"}
_INIT_FROM = {
    "run": 3,
    "mode": "weights",
    "freeze": ["features.*"],
    "head": "auto",
    "head_learning_rate_factor": 10.0,
}
_CAUTION = {
    "key": "pretrained_layers_lost",
    "text": "At 64×64 pixels the first layer of ResNet-18 is another than the pretrained one and begins at random.",
    "pointer": "/spec/dataset/params/image_size",
    "remedy": {"dataset.params.image_size": 96},
}
_TRIAL = {
    "name": "imagenet",
    "label": "ImageNet's statistics",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "channel_order": "rgb",
    "value_range": "unit",
    "n": 2000,
    "accuracy": 0.997,
    "low": 0.9935,
    "high": 0.9986,
}
_SOURCE = {
    "file_name": "resnet20.th",
    "sha256": "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
    "bytes": 1099231,
    "text": "a colleague's, 2024",
    "format": "PyTorch checkpoint (before 1.6)",
    "weights_key": "state_dict",
    "removed_prefix": "module.",
    "missing": [],
    "unexpected": [],
    "normalization_check": {
        "chosen": 0,
        "decided": True,
        "summary": "ImageNet's statistics: accuracy 0.9970 (0.9935 to 0.9986) on 2,000 validation images, "
        "significantly more than under every other normalisation.",
        "split": "validation",
        "n": 2000,
        "trials": [_TRIAL],
    },
}
_MISFITS = {
    "total": 62,
    "items": [
        {
            "problem": "missing",
            "name": "conv1.weight",
            "file_shape": None,
            "network_shape": [64, 3, 7, 7],
            "nearest": "conv.weight",
            "nearest_shape": [64, 3, 3, 3],
        },
        {
            "problem": "wrong_shape",
            "name": "fc.weight",
            "file_shape": [1000, 512],
            "network_shape": [10, 512],
            "nearest": None,
            "nearest_shape": None,
        },
    ],
}
_CONVENTIONS = {
    "mean": _TRIAL["mean"],
    "std": _TRIAL["std"],
    "channel_order": "rgb",
    "value_range": "unit",
    "image_size": [224, 224],
    "outputs": 1000,
    "class_order": [207, 281],
}
_IMAGES = {
    "image_size": [64, 64],
    "mask_marks": "object",
    "data_seed": 0,
    "table": "metadata.csv",
    "columns": {
        "image": "img_filename",
        "label": "y",
        "split": "split",
        "mask": "",
        "group": "",
        "attributes": ["place"],
    },
    "pattern": "{label}/{place}/*",
    "split_values": {"holdout": "test"},
    "class_names": ["landbird", "waterbird"],
    "group_by": ["place"],
}
_PREVIEW = {
    "id": 12,
    "layout": "table",
    "problems": ["metadata.csv, line 7, column y: there is no label"],
    "columns": [{"name": "y", "role": "label", "distinct": 2, "examples": ["0", "1"], "reason": ""}],
    "class_names": ["landbird", "waterbird"],
    "attributes": [{"name": "place", "values": ["place 0", "place 1"]}],
    "group_names": ["landbird, place 0", "landbird, place 1", "waterbird, place 0", "waterbird, place 1"],
    "grouped_by": ["place"],
    "counts": [{"label": 1, "group": 2, "train": 56, "validation": 133, "test": 642}],
    "sizes": [{"height": 64, "width": 64, "images": 11788}],
    "sized": 2000,
    "has_mask": False,
    "images": [
        {
            "file": "001.Black_footed_Albatross/0001.jpg",
            "label": "waterbird",
            "split": "train",
            "values": {"place": "place 1"},
            "image": "data:image/jpeg;base64,/9j/4AAQSkZJRg",
        }
    ],
    "passed_over": ["README.md"],
    "passed_over_count": 1,
    "notes": ["Images that metadata.csv does not name, passed over: 1 (extra.jpg)."],
}
_SEARCH = {
    "kind": "bracket",
    "result": "pgd_linf.accuracy",
    "accuracy_budget": 0.02,
    "start": 0.1,
    "seeds": [0, 1, 2],
    "max_candidates": 12,
}
_NUMBER_RANGE = {
    "type": "number",
    "path": "optimizer.params.lr",
    "low": 0.0001,
    "high": 0.01,
    "log": True,
    "step": None,
}
_INTEGER_RANGE = {"type": "integer", "path": "batch_size", "low": 50, "high": 200, "log": False, "step": 50}
_CHOICES = {"type": "choice", "path": "optimizer.key", "choices": ["adam", "sgd"]}
_OBJECTIVE = {"result": "pgd_linf.accuracy", "direction": "maximize"}
_PRUNING = {"metric": "validation_accuracy", "startup_trials": 5, "warmup_epochs": 2}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "CatalogEntry": {"sized_by": "image_size", "learning_rates": {"sgd": 0.03}, "needs_groups_if": {"by": ["group"]}},
    "Problem": {
        "type": "/problems/invalid-request",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "/spec/lambda_: expected a number of at least 0; got -1",
        "errors": [_WRONG],
    },
    "Flag": {"key": "at_chance", "text": "The accuracy on the validation images is that of chance."},
    "ClaimFlag": {
        "key": "rises_with_epsilon",
        "text": "More images are robust at a larger epsilon: the attack is too weak.",
        "runs": [3, 4],
    },
    "SelectedLambda": {"few_seeds": [2]},
    "CatalogPlugin": {"package": "densitylab-example", "version": "0.1.0"},
    "InstalledPlugin": {
        "package": "densitylab-example",
        "version": "0.1.0",
        "entries": ["regularizer elastic_net"],
        "problems": [],
    },
    "RegisterRequest": {
        "label": "Waterbirds, 64 pixels",
        **_IMAGES,
        "path": "waterbirds",
        "preview": None,
        "hub": None,
    },
    "PreviewRequest": {**_IMAGES, "path": "waterbirds", "preview": None, "hub": None},
    "PreviewForm": {"archive": "waterbirds.zip", "request": '{"image_size": [64, 64]}'},
    "RegistrationPreview": _PREVIEW,
    "RunsRequest": {
        "sweep": {"lambda_": [0.3], "seed": [0, 1]},
        "lambdas": [0.3],
        "runs": [3, 4],
        "priority": "normal",
    },
    "WebhookRequest": {"format": "text"},
    "EarlyStop": {"patience": 5, "metric": "validation_accuracy"},
    "CompleteEarlyStop": {"patience": 5, "metric": "validation_accuracy"},
    "Preflight": {
        "notes": ["Starts from the weights of run 3: those whose names and shapes fit are loaded."],
        "cautions": [_CAUTION],
    },
    "LaunchCaution": _CAUTION,
    "DifferingCondition": {"condition": "version of the evaluation leakage", "runs": {"2": [1, 2], "3": [3]}},
    "BracketSearch": _SEARCH,
    "NumberRange": _NUMBER_RANGE,
    "IntegerRange": _INTEGER_RANGE,
    "Choices": _CHOICES,
    "SearchObjective": _OBJECTIVE,
    "MedianPruning": _PRUNING,
    "OptunaSearch": {
        "kind": "optuna",
        "parameters": [_NUMBER_RANGE, _INTEGER_RANGE, _CHOICES],
        "objectives": [_OBJECTIVE],
        "trials": 30,
        "parallel": 4,
        "seeds": [0],
        "sampler": "tpe",
        "sampler_seed": 0,
        "startup_trials": 10,
        "pruning": _PRUNING,
    },
    "SearchCandidate": {
        "number": 12,
        "parameters": {"optimizer.params.lr": 0.00123, "batch_size": 100, "optimizer.key": "adam"},
        "state": "complete",
        "reason": "Proposed by TPE from 12 trials.",
        "values": [0.412],
    },
    "SearchProgress": {"objectives": [_OBJECTIVE], "max_seconds_left": 840.0},
    "ExperimentRequest": {"search": _SEARCH},
    "SearchSummary": {"kind": "bracket", "status": "finished", "reason": "Every method is done."},
    "EvaluationSpec": {"split": "validation"},
    "InitFrom": _INIT_FROM,
    "CompleteInitFrom": _INIT_FROM,
    "Ancestor": {"run": 3, "mode": "weights", "epochs": 15.0, "deleted": False},
    "ModelSource": _SOURCE,
    "ModelInterface": _CONVENTIONS,
    "CompleteModelInterface": _CONVENTIONS,
    "ModelForm": {"file": "resnet20.th"},
    "InspectionForm": {"file": "resnet20.th"},
    "FittingModel": {"misfits": _MISFITS},
    "Misfits": _MISFITS,
    "ImportRequest": {
        **_CONVENTIONS,
        "name": "ResNet-20 of a colleague",
        "experiment": 1,
        "run": 12,
        "weights_key": "state_dict",
        "partial": False,
        "class_names": ["tabby", "golden retriever"],
        "lambda_": 0.1,
        "regularizer": {"key": "marginal_density", "params": {}},
        "evaluations": [{"key": "pgd_linf", "params": {}}],
        "notes": "trained for 200 epochs",
        "tags": ["paper"],
    },
    "ModelPlugin": {"package": "densitylab-example", "version": "0.1.0"},
    "LogRequest": {
        "experiment": 1,
        "model": {"key": "cnn", "params": {}},
        "regularizer": {"key": "marginal_density", "params": {}},
        "lambda_": 0.1,
        "steps": 540,
        "notes": "trained on the cluster",
        "tags": ["paper"],
    },
    "FinishRequest": {"error": "the loss is not finite"},
    "PenaltyRequest": {"reference": {"p_norm": "2", "power": 2}, "run": 3},
    "PenaltyComparison": {"run": 3},
    "DensityRequest": {"split": "test", "direction": "image", "towards": 7, "extent": 3.0, "seed": 0},
}
# These have the fields of another, some of which may be left out
_PARTS = {"PartialRun": "Run", "RunSpec": "CompleteRunSpec"}


def add_examples(document: dict[str, Any]) -> None:
    """Give each operation, parameter and field an example.

    A field takes its example from the first recorded request or answer that holds it, a parameter from a recorded
    request, or else from its schema.
    """
    recorded: dict[str, dict[str, Any]] = json.loads(_RECORDED.read_text())
    used = {name: value for item in recorded.values() for name, value in item.get("parameters", {}).items()}
    for operations in document["paths"].values():
        for operation in operations.values():
            item = recorded.get(operation["operationId"], {})
            for parameter in operation.get("parameters", ()):
                known = {**_PARAMETERS, **used, **item.get("parameters", {})}
                schema = parameter["schema"]
                if parameter["name"] in known:
                    parameter["example"] = _of_type(known[parameter["name"]], schema)
                else:
                    parameter["example"] = _fallback(schema)
            _fill(document, operation.get("requestBody", {}).get("content", {}), item.get("request"))
            for status, response in operation["responses"].items():
                if status < "300":
                    _fill(document, response.get("content", {}), item.get("response"))
    schemas = document["components"]["schemas"]
    for name, example in _SCHEMAS.items():
        _fill_fields(document, schemas[name], example)
    for part, whole in _PARTS.items():
        for field, schema in schemas[part]["properties"].items():
            if (examples := schemas[whole]["properties"][field].get("examples")) is not None:
                schema.setdefault("examples", examples)


def _fill(document: dict[str, Any], content: dict[str, Any], example: Any) -> None:
    for media_type in content.values():
        if example is not None:
            media_type["example"] = example
            _fill_fields(document, media_type["schema"], example)


def _fill_fields(document: dict[str, Any], schema: Mapping[str, Any], example: Any) -> None:
    """Add what the example holds to the fields of the schemas that describe it, where they have none yet."""
    schema = _resolved(document, schema)
    if isinstance(example, list) and "items" in schema:
        for item in example:
            _fill_fields(document, schema["items"], item)
    if not isinstance(example, dict):
        return
    fields = schema.get("properties", {})
    for name, value in example.items():
        inner = fields.get(name, schema.get("additionalProperties"))
        if name in fields and (value is not None or "examples" not in fields[name]):
            known = fields[name].setdefault("examples", [value])
            if known == [None]:
                fields[name]["examples"] = [value]
        if isinstance(inner, dict):
            _fill_fields(document, inner, value)


def _resolved(document: dict[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references, and choose the alternative of an object or list."""
    while "$ref" in schema or "anyOf" in schema or "oneOf" in schema:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        else:
            choices = schema.get("anyOf") or schema["oneOf"]
            schema = next((item for item in choices if "$ref" in item or item.get("type") in ("object", "array")), {})
    return schema


def _of_type(example: Any, schema: Mapping[str, Any]) -> Any:
    """Put a single value into a list where the parameter is one, or take the first of a list where it is none."""
    types = {choice.get("type") for choice in (schema, *schema.get("anyOf", ()))}
    if "array" in types:
        return example if isinstance(example, list) else [example]
    return example[0] if isinstance(example, list) else example


def _fallback(schema: Mapping[str, Any]) -> Any:
    for choice in (schema, *schema.get("anyOf", ())):
        examples = choice.get("examples", ())
        for value in (*examples, choice.get("default"), *choice.get("enum", ()), choice.get("minimum")):
            if value is not None:
                return value
    return None
