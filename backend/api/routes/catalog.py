"""The catalog of components."""

from dataclasses import asdict

from fastapi import Request, Response
from pydantic import TypeAdapter

from densitylab.backend.api import raw_json
from densitylab.backend.api.dependencies import CatalogDep, QueueDep
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.services.availability import unavailable_entries
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, Entry
from densitylab.backend.shared.contracts import CatalogEntry

router = resource_router("catalog")
_Entries = TypeAdapter(dict[str, list[CatalogEntry]])


@router.get("/catalog", response_model=dict[str, list[CatalogEntry]])
def get_catalog(request: Request, catalog: CatalogDep, queue: QueueDep) -> Response:
    """Return every choice by kind, with its parameters: data sets, models, regularizers, schedules, optimizers,
    learning-rate schedules, augmentations, algorithms, attacks, attributions, perturbations, evaluations."""
    installed: Catalog = request.app.state.catalog
    answers: dict[str, list[CatalogEntry]] = request.app.state.catalog_answers
    prepared = {kind: dict(zip(installed.by_kind[kind], answers[kind], strict=True)) for kind in answers}
    every = {
        kind: [
            prepared[kind][entry.key] if entry is installed.by_kind[kind].get(entry.key) else _answer(entry)
            for entry in catalog.all(kind)
        ]
        for kind in answers
    }
    for (kind, key), reason in unavailable_entries(queue, catalog).items():
        every[kind] = [
            entry.model_copy(update={"unavailable": reason}) if entry.key == key else entry for entry in every[kind]
        ]
    return raw_json.response(_Entries.dump_json(every))


def catalog_answers(catalog: Catalog) -> dict[str, list[CatalogEntry]]:
    """Return all entries by kind as the API gives them."""
    return {kind: [_answer(entry) for entry in catalog.all(kind)] for kind in catalog.by_kind}


def _answer(entry: Entry) -> CatalogEntry:
    has_corruptions = isinstance(entry, DatasetEntry) and entry.corruptions is not None
    return CatalogEntry.model_validate({**asdict(entry), "has_corruptions": has_corruptions})
