"""What is on offer."""

from dataclasses import asdict
from functools import cache

from fastapi import APIRouter, Response
from pydantic import TypeAdapter

from backend.api import pages
from backend.api.dependencies import DatabaseDep, registered_known
from backend.shared.catalog import CATALOG, Entry, offered
from backend.shared.contracts import CatalogEntry

router = APIRouter(tags=["catalog"])
_Entries = TypeAdapter(dict[str, list[CatalogEntry]])


@router.get("/catalog", response_model=dict[str, list[CatalogEntry]])
def get_catalog(database: DatabaseDep) -> Response:
    """Every choice by kind: data sets, models, regularizers, schedules, optimizers, schedules of the learning rate,
    augmentations, attacks, attributions, perturbations, evaluations; with their parameters."""
    registered_known(database)
    registered = offered("dataset")[len(CATALOG["dataset"]):]
    every = {**_catalog(), "dataset": [*_catalog()["dataset"], *map(_answer, registered)]}
    return pages.written(_Entries.dump_json(every))


@cache
def _catalog() -> dict[str, list[CatalogEntry]]:
    return {kind: [_answer(entry) for entry in entries] for kind, entries in CATALOG.items()}


def _answer(entry: Entry) -> CatalogEntry:
    return CatalogEntry.model_validate(asdict(entry))
