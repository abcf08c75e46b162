"""Validation of plug-ins' entries: types of facts, parameters, rules. Built-in entries pass it by test."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from string import Formatter

from pydantic import TypeAdapter, ValidationError

from densitylab.backend.shared.catalog.entries import KINDS, AlgorithmEntry, DatasetEntry, Entry
from densitylab.backend.shared.catalog.params import Param

# Names of the arguments that a kind's caller passes beside the parameters
_RESERVED = {
    "dataset": {"root", "source", "progress", "should_stop"},
    "model": {"channels", "image_size", "num_classes"},
    "regularizer": {"model", "x", "logits", "y", "generator"},
    "schedule": {"lambda_", "step", "total_steps", "state"},
    "optimizer": {"parameters"},
    "lr_schedule": {"step", "total_steps"},
    "augmentation": {"images", "generator"},
    "algorithm": {"samples"},
    "attack": {"model", "x", "y", "generator"},
    "attribution": {"model", "x", "target"},
    "perturbation": {"model", "x", "target", "generator"},
    "evaluation": {"model", "data", "generator", "progress", "should_stop"},
    "study": set(),
}


def invalid_facts(entry: Entry) -> str | None:
    """Return what is wrong with an entry's facts, in one sentence; None where all are as declared."""
    return _wrong_type(entry) or next(_wrong_params(entry), None) or _wrong_rules(entry) or _wrong_images(entry)


def _wrong_type(entry: Entry) -> str | None:
    facts = asdict(entry)
    try:
        checked = TypeAdapter(type(entry)).validate_python(facts)
        json.dumps({name: fact for name, fact in facts.items() if name != "cost"}, ensure_ascii=False).encode()
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (TypeError, ValueError) as error:
        return f"a fact cannot be written as JSON: {error}"
    changed = [name for name, fact in asdict(checked).items() if fact != facts[name]]
    return f"{changed[0]}: {facts[changed[0]]!r} is not of the declared type" if changed else None


def _wrong_params(entry: Entry) -> Iterator[str]:
    names = [param.name for param in entry.params]
    for param in entry.params:
        if not param.name.isidentifier() or names.count(param.name) > 1:
            yield f"parameter {param.name!r}: expected an identifier that occurs once"
        elif param.name in _RESERVED[entry.kind]:
            yield f"parameter {param.name!r}: the name belongs to an argument that every {entry.kind} takes"
        elif (reason := _wrong_default(param)) is not None:
            yield f"parameter {param.name!r}: {reason}"


def _wrong_default(param: Param) -> str | None:
    if param.type == "component":
        if param.kind not in KINDS:
            return f"expected a kind of component, one of {', '.join(KINDS)}; got {param.kind!r}"
        named = isinstance(param.default, dict) and isinstance(param.default.get("key"), str)
        return None if named or (param.default is None and param.optional) else "expected a default {key, params}"
    if param.type == "run" and param.default is None:
        return None
    wrong = param.check(param.default)[1]
    return None if wrong is None else f"its default is not valid: {wrong}"


def _wrong_rules(entry: Entry) -> str | None:
    names = {param.name for param in entry.params}
    named = {path.partition(".")[0] for rule in entry.rules for path in (*rule.when, *rule.allowed)}
    for fact in ("double_backward", "forward_mode", "draws", "multivariate", "needs_groups_if"):
        named |= set(getattr(entry, fact, None) or {})
    if isinstance(entry, AlgorithmEntry):
        named |= {entry.first_stage} if entry.first_stage else set()
        named |= {field.partition(".")[0] for _, field, _, _ in Formatter().parse(entry.note) if field} - {"epochs"}
    unknown = sorted(named - names)
    if unknown:
        return f"a rule or fact names {unknown[0]!r}, which is no parameter"
    return _wrong_note(entry) if isinstance(entry, AlgorithmEntry) else None


def _wrong_note(entry: AlgorithmEntry) -> str | None:
    try:
        entry.describe({param.name: param.default for param in entry.params}, epochs=1)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        return f"note: its defaults cannot be put in ({error})"
    return None


def _wrong_images(entry: Entry) -> str | None:
    if not isinstance(entry, DatasetEntry):
        return None
    if len(entry.mean) != len(entry.std) or (entry.mean and len(entry.mean) != entry.channels):
        return "expected one mean and one std for each channel"
    if entry.sized_by is not None and entry.image_size != (_default(entry, entry.sized_by),) * 2:
        return f"sized_by: expected a parameter whose default is both sides of image_size, got {entry.sized_by!r}"
    if entry.class_names and len(entry.class_names) != entry.num_classes:
        return f"expected {entry.num_classes} class names, got {len(entry.class_names)}"
    return None


def _default(entry: Entry, name: str) -> object:
    param = entry.param(name)
    return None if param is None else param.default
