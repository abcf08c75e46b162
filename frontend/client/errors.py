"""What a client raises."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from backend.shared.contracts import FieldError, Problem, Run

_PASSING = (0, 429, 502, 503, 504)  # no answer at all, too many requests, or somebody behind the API does not answer


class ApiError(Exception):
    """The API refused, failed or does not answer; `str()` is one sentence for the user.

    Attributes:
        status: the HTTP status; 0 where no answer came.
        errors: what is wrong with which field of the request.
        retry_after: seconds after which the API wants to be asked again; None where it does not say.
    """

    def __init__(
        self, status: int, message: str, errors: Sequence[FieldError] = (), retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = list(errors)
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in _PASSING


class RunsFailed(Exception):
    """Of the runs that were waited for, some failed or were cancelled.

    Attributes:
        runs: all that were waited for, in order of their ids.
    """

    def __init__(self, runs: Sequence[Run], unsuccessful: Sequence[Run]) -> None:
        first = unsuccessful[0]
        more = f", and {len(unsuccessful) - 1} more" if len(unsuccessful) > 1 else ""
        super().__init__(f"{len(unsuccessful)} of {len(runs)} runs did not succeed: run {first.id} {first.status.value}"
                         f" ({first.error or 'no reason given'}){more}.")
        self.runs = list(runs)


def refusal(answer: httpx.Response) -> ApiError:
    """An answer that is no success, as an error; its body has been read."""
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
    """Of a Retry-After header: a number of seconds, or a date (RFC 9110, 10.2.3); None where it is neither."""
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
