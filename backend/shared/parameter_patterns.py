"""Patterns of parameter names, by which the layers to freeze are chosen.

matching(names, ["features.*"]) -> those that match, or lie in a module that does
problem(names, patterns) -> sentence or None
"""

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

_LISTED = 8  # names in a sentence


def matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that match a pattern, or lie in a module whose name does.

    Args:
        names: of a network's parameters.
        patterns: as in a shell: `*` is any text. `layer1` and `layer1.*` both match `layer1.0.conv1.weight`.
    """
    return [
        name for name in names if any(fnmatchcase(part, pattern) for part in _prefixes(name) for pattern in patterns)
    ]


def problem(names: Sequence[str], patterns: Sequence[str]) -> str | None:
    """Return why a network can't be frozen by these patterns, None if it can.

    Args:
        names: of all its parameters.
        patterns: of the parameters to freeze.
    """
    for pattern in patterns:
        if not matching(names, [pattern]):
            modules = dict.fromkeys(part for name in names for part in _prefixes(name))
            near = get_close_matches(pattern.removesuffix(".*"), modules, n=1)
            nearest = f" (nearest: {near[0]})" if near else ""
            return (
                f"no parameter of the model matches the freeze pattern {pattern!r}{nearest}; its parameters are "
                f"{_listed(names)}"
            )
    if patterns and len(matching(names, patterns)) == len(names):
        return "the freeze patterns match every parameter of the model: leave at least its head to train"
    return None


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
