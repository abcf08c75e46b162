"""The catalog as the API gives it: what the page draws its forms from."""

from pydantic import RootModel

from backend.shared.contracts import CatalogEntry


class Catalog(RootModel[dict[str, list[CatalogEntry]]]):
    """Every choice on offer, by kind."""

    def entries(self, kind: str) -> list[CatalogEntry]:
        return self.root.get(kind, [])

    def entry(self, kind: str, key: str) -> CatalogEntry | None:
        """None where this catalog no longer has it, as may be so for an old run."""
        return next((entry for entry in self.entries(kind) if entry.key == key), None)

    def plain(self) -> frozenset[str]:
        """The regularizers without a penalty: runs of them are baselines whatever λ is."""
        return frozenset(entry.key for entry in self.entries("regularizer") if not entry.penalises)

    def label(self, kind: str, key: str) -> str:
        entry = self.entry(kind, key)
        return entry.label if entry else key
