"""The progress of evaluations."""

from collections.abc import Mapping

from densitylab.backend.shared.contracts import Status


def evaluations_done(counts: Mapping[Status, int]) -> tuple[int, int]:
    """Return how many evaluations have ended, and how many there are. Cancelled ones, as those of a run that was
    cancelled or failed, are never made and do not count."""
    expected = {status: number for status, number in counts.items() if status is not Status.CANCELLED}
    return sum(number for status, number in expected.items() if status.final), sum(expected.values())
