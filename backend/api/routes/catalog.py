"""What is on offer."""

from dataclasses import asdict
from functools import cache

from fastapi import APIRouter

from backend.api.dependencies import RegisteredKnown
from backend.shared.catalog import CATALOG, Entry, offered
from backend.shared.contracts import CatalogEntry

router = APIRouter(tags=["catalog"], dependencies=[RegisteredKnown])


@router.get("/catalog")
def get_catalog() -> dict[str, list[CatalogEntry]]:
    """Every choice by kind: data sets, models, regularizers, schedules, optimizers, schedules of the learning rate,
    augmentations, attacks, attributions, perturbations, evaluations; with their parameters."""
    registered = offered("dataset")[len(CATALOG["dataset"]):]
    return {**_catalog(), "dataset": [*_catalog()["dataset"], *map(_answer, registered)]}


@cache
def _catalog() -> dict[str, list[CatalogEntry]]:
    return {kind: [_answer(entry) for entry in entries] for kind, entries in CATALOG.items()}


def _answer(entry: Entry) -> CatalogEntry:
    return CatalogEntry.model_validate(asdict(entry))
