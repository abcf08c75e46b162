"""Errors of the client."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from densitylab.backend.shared.contracts import Evaluation, FieldError, Misfits, Problem, Run, Status

_TRANSIENT = (0, 429, 502, 503, 504)  # no answer, too many requests, or a service behind the API does not answer


class ApiError(Exception):
    """The API refused, failed or does not answer; `str()` is one sentence for the user.

    Attributes:
        status: the HTTP status; 0 if no answer came.
        errors: problems with fields of the request.
        retry_after: seconds after which the request may be repeated, if the API gives them.
    """

    def __init__(
        self, status: int, message: str, errors: Sequence[FieldError] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(status, message, errors, retry_after)  # all arguments, with which pickle makes it anew
        self._message = message
        self.status = status
        self.errors = list(errors)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self._message

    @property
    def transient(self) -> bool:
        """True if the same request may succeed a little later."""
        return self.status in _TRANSIENT


class WeightsDoNotFit(ApiError):
    """The weights of an imported file do not fit the network.

    Attributes:
        misfits: the weights that do not fit.
    """

    def __init__(self, message: str, misfits: Misfits) -> None:
        super().__init__(0, message)
        self.args = (message, misfits)
        self.misfits = misfits


class RunsFailed(Exception):
    """Some of the runs of `wait`, or of their evaluations, failed or were cancelled.

    Attributes:
        runs: all runs of the call, in order of their ids.
        evaluations: those of trained runs that did not succeed.
    """

    def __init__(self, runs: Sequence[Run], evaluations: Sequence[Evaluation] = ()) -> None:
        super().__init__(runs, evaluations)
        self.runs = list(runs)
        self.evaluations = list(evaluations)

    def __str__(self) -> str:
        trained = [run for run in self.runs if run.status is Status.SUCCEEDED]
        failed = [run for run in self.runs if run.status is not Status.SUCCEEDED and not run.pruned]
        runs = [_reason(f"run {run.id}", run) for run in failed]
        evaluations = [_reason(f"{item.name} of run {item.run}", item) for item in self.evaluations]
        requested = sum(sum(run.evaluation_counts.values()) for run in trained)
        found = [(runs, len(self.runs), "runs"), (evaluations, requested, "evaluations")]
        return " ".join(
            f"{len(reasons)} of {total} {kind} did not succeed: {reasons[0]}"
            + (f", and {len(reasons) - 1} more." if len(reasons) > 1 else ".")
            for reasons, total, kind in found
            if reasons
        )


def _reason(name: str, item: Run | Evaluation) -> str:
    return f"{name} {item.status.value} ({item.error or 'no reason given'})"


def error_of(answer: httpx.Response) -> ApiError:
    """Return the error of an answer whose body has been read."""
    retry_after = _seconds(answer.headers.get("Retry-After"))
    try:
        problem = Problem.model_validate(answer.json())
    except (ValueError, UnicodeDecodeError):
        message = f"The API answered {answer.status_code} {answer.reason_phrase}."
        return ApiError(answer.status_code, message, retry_after=retry_after)
    message = problem.detail or problem.title
    if answer.status_code == 401:
        message += " Set DENSITYLAB_API_TOKEN to the token of the API."
    return ApiError(answer.status_code, message, problem.errors, retry_after)


def _seconds(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3); None for other texts."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):  # no date, or one without a time zone
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
