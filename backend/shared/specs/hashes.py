"""Hashes of specs and other JSON content."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from densitylab.backend.shared.contracts import Component, RunSpec
from densitylab.backend.shared.contracts.later_params import LATER_PARAMS

# Left out with these values, their defaults, so that specs from before keep their hash
_LATER_PARTS = {
    "interface": None,
    "init_from": None,
    "label_smoothing": 0.0,
    "class_weights": "none",
    "gradient_accumulation": 1,
    "activation_checkpointing": False,
    "algorithm": {"key": "erm", "params": {}},
    "threads": None,
}
_LATER_DATASET_PARAMS = {"image_size": 64}  # the same


def spec_hash(spec: RunSpec | dict[str, Any]) -> str:
    """The same for equal specs, as models or dumped."""
    dumped = spec.model_dump() if isinstance(spec, RunSpec) else spec
    parts = {name: part for name, part in dumped.items() if name not in _LATER_PARTS or part != _LATER_PARTS[name]}
    dataset = dumped["dataset"]
    parts["dataset"] = {**dataset, "params": _known_before(dataset["params"], _LATER_DATASET_PARAMS)}
    for kind, later in LATER_PARAMS.items():
        component = dumped[kind]
        parts[kind] = {**component, "params": _known_before(component["params"], later.get(component["key"], {}))}
    # Every evaluation was on test images before it could be on others
    parts["evaluations"] = [
        {name: value for name, value in item.items() if (name, value) != ("split", "test")}
        for item in dumped["evaluations"]
    ]
    return content_hash(parts)


def dataset_hash(params: dict[str, Any]) -> str:
    """The same for equal parameters of a data set, by which its prepared variant is found."""
    return content_hash(_known_before(params, _LATER_DATASET_PARAMS))


def same_data(a: Component, b: Component) -> bool:
    """Return whether two specs' data sets are the same variant of the same one."""
    return (a.key, dataset_hash(a.params)) == (b.key, dataset_hash(b.params))


def _known_before(params: dict[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in later or later[name] != value}


def content_hash(content: Any) -> str:
    """SHA-256 of the canonical JSON form, 16 hex digits."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
