"""The state that the parts of the launch form share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import CatalogEntry
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.widgets import component


@dataclass(frozen=True)
class FormContext:
    """The spec that the form starts from, and the catalog, the key prefix and the API errors of its widgets."""

    catalog: Catalog
    spec: dict[str, Any]  # with every field
    key: str
    errors: FieldErrors

    def component(
        self,
        field: str,
        label: str,
        *,
        start: Mapping[str, Any] | None = None,
        usable: Callable[[CatalogEntry], bool] = lambda entry: True,
        defaults: Mapping[str, Mapping[str, Any]] | None = None,
        keep_edits: bool = False,
        settings: DeltaGenerator | None = None,
    ) -> dict[str, Any]:
        """Draw the choice of the spec's component `field` and its parameters; return {key, params}.

        Args:
            field: of the spec, which is also the kind of the catalog.
            label: of the choice.
            start: what the widgets start with, the spec's own unless given.
            usable: filters the catalog's entries.
            defaults: values by entry and parameter that stand in for the catalog's defaults.
            keep_edits: whether a value that the user gave stays when its default changes.
            settings: where the parameters are drawn; None: below the choice.
        """
        return component(
            self.catalog,
            field,
            self.spec[field] if start is None else start,
            label=label,
            key=f"{self.key}/{field}",
            at=f"/spec/{field}",
            errors=self.errors,
            usable=usable,
            defaults=defaults,
            keep_edits=keep_edits,
            settings=settings,
        )
