"""Wrong fields of a request that a contract refuses."""

from pydantic import ValidationError

from densitylab.backend.shared.contracts.answers import FieldError
from densitylab.backend.shared.contracts.sentences import sentence


def pointer(*parts: str | int) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def violations(error: ValidationError, at: str = "") -> list[FieldError]:
    """Return each wrong field with its JSON pointer below `at` and a sentence."""
    return [FieldError(pointer=at + pointer(*item["loc"]), detail=sentence(item)) for item in error.errors()]
