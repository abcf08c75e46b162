"""Hashes of specs and other JSON content."""

import hashlib
import json
from typing import Any

from densitylab.backend.shared.contracts import RunSpec

# Left out with these values, their defaults, so that specs from before keep their hash
_LATER_PARTS = {
    "interface": None,
    "init_from": None,
    "label_smoothing": 0.0,
    "class_weights": "none",
    "gradient_accumulation": 1,
    "activation_checkpointing": False,
}


def spec_hash(spec: RunSpec) -> str:
    """The same for equal specs."""
    dumped = spec.model_dump()
    for name, default in _LATER_PARTS.items():
        if dumped[name] == default:
            del dumped[name]
    return content_hash(dumped)


def content_hash(content: Any) -> str:
    """SHA-256 of the canonical JSON form, 16 hex digits."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
