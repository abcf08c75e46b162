"""The catalog as the API gives it: what the page draws its forms from."""

from typing import Any

from pydantic import Field, RootModel

from backend.shared.contracts import Answer


class Param(Answer):
    """One parameter of a choice; decides the control that is drawn for it."""

    name: str
    type: str
    default: Any = None
    label: str = ""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    choices: list[str | int] = Field(default_factory=list)
    optional: bool = False
    kind: str | None = None  # of type "component": the kind that it takes

    @property
    def title(self) -> str:
        return self.label or self.name.replace("_", " ").capitalize()


class Entry(Answer):
    """One choice of a kind, with the facts that the page decides by."""

    key: str
    label: str
    summary: str
    params: list[Param] = Field(default_factory=list)
    num_classes: int | None = None
    class_names: list[str] = Field(default_factory=list)
    image_size: tuple[int, int] | None = None
    min_image_size: int | None = None
    train_size: int | None = None
    has_mask: bool = False
    embedded: bool = False
    needs_mask: bool = False
    signed: bool = True
    needs_target: bool = True


class Catalog(RootModel[dict[str, list[Entry]]]):
    """Every choice on offer, by kind."""

    def entries(self, kind: str) -> list[Entry]:
        return self.root.get(kind, [])

    def entry(self, kind: str, key: str) -> Entry | None:
        """None where this catalog no longer has it, as may be so for an old run."""
        return next((entry for entry in self.entries(kind) if entry.key == key), None)

    def label(self, kind: str, key: str) -> str:
        entry = self.entry(kind, key)
        return entry.label if entry else key
