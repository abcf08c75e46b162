"""The types that the others are made of: requests forbid unknown fields, answers are read leniently."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain NUL or unpaired surrogate characters")
    return text


Id = Annotated[int, Field(ge=1, le=2**31 - 1)]
Key = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", min_length=1, max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
Notes = Annotated[str, Field(max_length=20_000), AfterValidator(_storable)]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=50)]
Tags = Annotated[list[Tag], Field(max_length=50)]


class Request(BaseModel):
    # strict: true is not the number 1, and "1" is not either
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")


ImageSize = Annotated[list[int], Field(min_length=2, max_length=2, description="height and width")]
