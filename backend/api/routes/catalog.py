"""What is on offer."""

from dataclasses import asdict
from functools import cache

from fastapi import APIRouter

from backend.shared.catalog import CATALOG
from backend.shared.contracts import CatalogEntry

router = APIRouter(tags=["catalog"])


@router.get("/catalog")
def get_catalog() -> dict[str, list[CatalogEntry]]:
    """Every choice by kind: data sets, models, regularizers, schedules, optimizers, schedules of the learning rate,
    augmentations, attacks, attributions, perturbations, evaluations; with their parameters."""
    return _catalog()


@cache
def _catalog() -> dict[str, list[CatalogEntry]]:
    return {
        kind: [CatalogEntry.model_validate(asdict(entry)) for entry in entries] for kind, entries in CATALOG.items()
    }
