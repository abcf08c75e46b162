"""`--set PATH=VALUE`: values of a spec from the command line."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from densitylab.backend.shared.contracts import exact_float
from densitylab.frontend.command_line.outcome import WrongInput

Override = tuple[str, list[Any]]


def override(text: str) -> Override:
    """Return the path and the values of PATH=VALUE,VALUE,...; a value is JSON, or text without quotes."""
    path, equals, values = text.partition("=")
    if not path or not equals or not values.strip():
        raise argparse.ArgumentTypeError(f"expected PATH=VALUE, or PATH=VALUE,VALUE for a sweep; got {text!r}")
    try:
        try:
            return path, json.loads(f"[{values}]", parse_float=exact_float)
        except json.JSONDecodeError:
            return path, [value(item.strip()) for item in values.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None


def apply(request: dict[str, Any], overrides: Sequence[Override]) -> None:
    """Sweep the values of each path, in place of those in the request; a single value sets it.

    The sweep does both, since it resolves paths into what the spec leaves to its defaults.

    Raises:
        WrongInput: the sweep of the request is neither a mapping nor a list of mappings.
    """
    sweep = request.get("sweep") or {}
    grids = sweep if isinstance(sweep, list) else [sweep]
    if not all(isinstance(grid, dict) for grid in grids):
        raise WrongInput("--set: the sweep of the file is not a mapping.")
    for grid in grids:
        for path, values in overrides:
            grid.pop(path, None)  # a path applies after those that were given before it
            grid[path] = values
    request["sweep"] = sweep or None


def value(text: str) -> Any:
    """Return the value of a text: JSON, or the text itself. Raises ValueError for a number that would become 0."""
    try:
        return json.loads(text, parse_float=exact_float)
    except json.JSONDecodeError:
        return text
