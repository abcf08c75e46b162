"""Base classes and field types: requests forbid unknown fields, answers ignore them."""

import unicodedata
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from densitylab.backend.shared.contracts.sentences import in_sentences


def storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain NUL or unpaired surrogate characters")
    return text


def _named(text: str) -> str:
    if not text.strip():
        raise ValueError("must have a character that is not a space")
    return storable(text)


def composed(text: str) -> str:
    """Return the text in NFC, so that letters that look the same compare equal."""
    return unicodedata.normalize("NFC", text)


def visible(name: str) -> str:
    """Return the name. Raises ValueError for one with control characters or invisible ones."""
    if not name.isprintable():
        raise ValueError("must not have control characters or invisible ones: another name could look the same")
    return name


def _run_name(text: str) -> str:
    name = visible(composed(text.strip()))
    if len(name) > MAX_RUN_NAME:  # some characters are several in NFC
        raise ValueError(f"expected at most {MAX_RUN_NAME} characters")
    return name


# Generators make a class of a number with bounds in a list, and name it like the field's singular, such as Run
IN_LISTS = WithJsonSchema({"type": "integer"})
Id = Annotated[int, Field(ge=1, le=2**31 - 1), IN_LISTS]
Key = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", min_length=1, max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_named)]
MAX_RUN_NAME = 100  # characters
# In NFC, without spaces around it; empty for a run that loses its name
RunName = Annotated[str, Field(max_length=MAX_RUN_NAME), AfterValidator(_run_name)]
Notes = Annotated[str, Field(max_length=20_000), AfterValidator(storable)]
# Letters and digits of any language
Tag = Annotated[str, Field(pattern=r"^[^\W_][\w.:-]*$", max_length=50), AfterValidator(composed)]
Tags = Annotated[list[Tag], Field(max_length=50)]


class Request(BaseModel):
    # strict: neither true nor "1" is accepted as the number 1
    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, strict=True, json_schema_serialization_defaults_required=True
    )

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            raise in_sentences(error, cls.__name__, cls.model_fields) from None


class Answer(BaseModel):
    # Every field is in every answer, so the schema of answers requires those with a default as well
    model_config = ConfigDict(extra="ignore", json_schema_serialization_defaults_required=True)


class DocumentedAs:
    """Give a field of plain JSON, which other code checks, the schema of a model."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    def __get_pydantic_json_schema__(self, _schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(self.model.__pydantic_core_schema__)


EvaluationSplit = Literal["test", "validation"]
ImageSize = Annotated[list[int], Field(min_length=2, max_length=2, description="height and width")]
