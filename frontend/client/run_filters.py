"""The filters of listings of runs, as keywords of the client's methods."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias, TypedDict

Texts: TypeAlias = str | Sequence[str] | None
Numbers: TypeAlias = int | Sequence[int] | None
Time: TypeAlias = datetime | str | None


class RunFilters(TypedDict, total=False):
    """A run matches if it matches each filter; of a list of values, one is enough. None does not filter."""

    ids: Sequence[int] | None
    """Numbers of runs, archived ones too unless `archived` is given."""
    experiment: Numbers
    status: Texts
    dataset: Texts
    model: Texts
    regularizer: Texts
    tag: Texts
    owner: Texts
    """Names of the tokens that launched them."""
    origin: Texts
    """Return the origin of their weights: trained, imported or logged."""
    name: Texts
    """Names of their own."""
    seed: Numbers
    q: str | None
    """Text in names, notes, tags and keys."""
    archived: bool | Sequence[bool] | None
    """Default: those that are not."""
    lambda_min: float | None
    lambda_max: float | None
    created_after: Time
    created_before: Time
    where: Texts
    """Conditions such as "results.accuracy.accuracy>=0.9", each of which must hold (docs/api.md)."""
