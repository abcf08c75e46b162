"""Check a component's parameters against its catalog entry, and fill in the defaults."""

import copy
from typing import Any

from densitylab.backend.shared.catalog import Catalog, Entry, UnknownKey
from densitylab.backend.shared.contracts import FieldError, pointer
from densitylab.backend.shared.specs.errors import printable
from densitylab.backend.shared.suggestion import did_you_mean


def complete_params(
    catalog: Catalog, kind: str, key: str, params: dict[str, Any], at: str, errors: list[FieldError]
) -> tuple[Entry | None, dict[str, Any]]:
    """Return the entry, if there is one, and the parameters with defaults; wrong fields are added to `errors`."""
    try:
        entry = catalog.find(kind, key)
    except UnknownKey as unknown:
        errors.append(FieldError(pointer=f"{at}/key", detail=str(unknown)))
        return None, params
    for name in params:
        if entry.param(name) is None:
            offered = ", ".join(param.name for param in entry.params) or "none"
            errors.append(
                FieldError(
                    pointer=f"{at}/params{pointer(printable(name))}",
                    detail=f"{key} has no parameter {printable(name)!r}; it has: {offered}"
                    + did_you_mean(name, [param.name for param in entry.params]),
                )
            )
    filled: dict[str, Any] = {}
    for param in entry.params:
        where = f"{at}/params/{param.name}"
        value = params.get(param.name, copy.deepcopy(param.default))
        if param.type == "component" and not (value is None and param.optional):
            filled[param.name] = _nested(catalog, param.kind or "", value, where, errors)
            continue
        filled[param.name], wrong = param.check(value)
        if wrong:
            errors.append(FieldError(pointer=where, detail=wrong))
    for rule in entry.rules:
        if all(lookup(filled, path) in values for path, values in rule.when.items()):
            for name, allowed in rule.allowed.items():
                if filled[name] not in allowed:
                    errors.append(FieldError(pointer=f"{at}/params/{name}", detail=rule.why))
    return entry, filled


def _nested(catalog: Catalog, kind: str, value: Any, at: str, errors: list[FieldError]) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("key"), str) or set(value) - {"key", "params"}:
        errors.append(FieldError(pointer=at, detail=f"expected an object {{key, params}} of kind {kind}"))
        return value
    params = value.get("params", {})
    if not isinstance(params, dict):
        errors.append(FieldError(pointer=f"{at}/params", detail="expected an object"))
        return value
    _, filled = complete_params(catalog, kind, value["key"], params, at, errors)
    return {"key": value["key"], "params": filled}


def lookup(data: Any, path: str) -> Any:
    """Return the value at a dotted path; None where there is none."""
    for part in path.split("."):
        if not isinstance(data, dict) or part not in data:
            return None
        data = data[part]
    return data
