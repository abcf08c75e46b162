"""The kinds of problems that the API reports, as RFC 9457 identifies them."""

from enum import StrEnum


class ProblemType(StrEnum):
    """The stable address of each kind of problem; GET it for what it means and what to do. An address that
    is not known, of another version, counts as `about:blank`, which says no more than the HTTP status."""

    OTHER = "about:blank"
    BAD_REQUEST = "/problems/bad-request"
    UNAUTHENTICATED = "/problems/unauthenticated"
    FORBIDDEN = "/problems/forbidden"
    NOT_FOUND = "/problems/not-found"
    METHOD_NOT_ALLOWED = "/problems/method-not-allowed"
    TIMEOUT = "/problems/timeout"
    CONFLICT = "/problems/conflict"
    NOT_PREPARED = "/problems/not-prepared"
    DAMAGED_FILE = "/problems/damaged-file"
    IDEMPOTENCY_CONFLICT = "/problems/idempotency-conflict"
    LENGTH_REQUIRED = "/problems/length-required"
    PRECONDITION_FAILED = "/problems/precondition-failed"
    TOO_LARGE = "/problems/too-large"
    UNSUPPORTED_MEDIA_TYPE = "/problems/unsupported-media-type"
    RANGE_NOT_SATISFIABLE = "/problems/range-not-satisfiable"
    INVALID_REQUEST = "/problems/invalid-request"
    RATE_LIMITED = "/problems/rate-limited"
    HEADERS_TOO_LARGE = "/problems/headers-too-large"
    INTERNAL_ERROR = "/problems/internal-error"
    NOT_INSTALLED = "/problems/not-installed"
    UNAVAILABLE = "/problems/unavailable"
    DISK_FULL = "/problems/disk-full"

    @classmethod
    def _missing_(cls, _value: object) -> "ProblemType":
        return cls.OTHER


BY_STATUS = {
    400: ProblemType.BAD_REQUEST,
    401: ProblemType.UNAUTHENTICATED,
    403: ProblemType.FORBIDDEN,
    404: ProblemType.NOT_FOUND,
    405: ProblemType.METHOD_NOT_ALLOWED,
    408: ProblemType.TIMEOUT,
    409: ProblemType.CONFLICT,
    411: ProblemType.LENGTH_REQUIRED,
    412: ProblemType.PRECONDITION_FAILED,
    413: ProblemType.TOO_LARGE,
    415: ProblemType.UNSUPPORTED_MEDIA_TYPE,
    416: ProblemType.RANGE_NOT_SATISFIABLE,
    422: ProblemType.INVALID_REQUEST,
    429: ProblemType.RATE_LIMITED,
    431: ProblemType.HEADERS_TOO_LARGE,
    500: ProblemType.INTERNAL_ERROR,
    501: ProblemType.NOT_INSTALLED,
    503: ProblemType.UNAVAILABLE,
    507: ProblemType.DISK_FULL,
}
"""The kind of a problem about which nothing more is known than its HTTP status."""
