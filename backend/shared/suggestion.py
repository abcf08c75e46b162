"""Suggestions for misspelt names."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, offered: Iterable[str]) -> str:
    """Return "; did you mean X?" with the offered name that is closest to `name`; empty where none is close."""
    near = get_close_matches(name[:100], list(offered), n=1)
    return f"; did you mean {near[0]}?" if near else ""
