"""Ranges of results that several evaluations share."""

from densitylab.backend.shared.catalog.entries import ValueRange

SHARES = ValueRange(low=0.0, high=1.0)  # of all others
LIKENESS = (
    ValueRange(names=("cosine*", "spearman*", "ssim*"), low=-1.0, high=1.0),
    ValueRange(names=("top_k*",), low=0.0, high=1.0),
)


def at_least_zero(*names: str) -> ValueRange:
    """Return the range of sizes and counts."""
    return ValueRange(names=names, low=0.0)
