"""Every choice on offer: data sets, models, regularizers, schedules, optimizers, schedules of the
learning rate, augmentations, attacks, attributions, perturbations, evaluations.

One `Entry` per choice, one file per kind. The API validates requests against it, the page draws its forms from
it, and the worker resolves its dotted paths. Nothing here imports torch or the worker.
"""

from backend.shared.catalog.attacks import ATTACKS
from backend.shared.catalog.attributions import ATTRIBUTIONS
from backend.shared.catalog.augmentations import AUGMENTATIONS
from backend.shared.catalog.datasets import DATASETS
from backend.shared.catalog.entry import Caution, Entry, Param, Rule, UnknownKey
from backend.shared.catalog.evaluations import EVALUATIONS
from backend.shared.catalog.lr_schedules import LR_SCHEDULES
from backend.shared.catalog.models import MODELS
from backend.shared.catalog.optimizers import OPTIMIZERS
from backend.shared.catalog.perturbations import PERTURBATIONS
from backend.shared.catalog.regularizers import REGULARIZERS
from backend.shared.catalog.schedules import SCHEDULES

CATALOG: dict[str, tuple[Entry, ...]] = {
    "dataset": DATASETS,
    "model": MODELS,
    "regularizer": REGULARIZERS,
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
    "lr_schedule": LR_SCHEDULES,
    "augmentation": AUGMENTATIONS,
    "attack": ATTACKS,
    "attribution": ATTRIBUTIONS,
    "perturbation": PERTURBATIONS,
    "evaluation": EVALUATIONS,
}


# A mirror of the data sets that users have registered, which the database keeps
_registered: tuple[Entry, ...] = ()


def mirror_registered(datasets: tuple[Entry, ...]) -> None:
    """Takes over what is registered now. A request or a job that looks a data set up does this first."""
    global _registered
    _registered = datasets


def offered(kind: str) -> tuple[Entry, ...]:
    """All entries of `kind`, those of the catalog before the registered ones."""
    return CATALOG[kind] + (_registered if kind == "dataset" else ())


def find(kind: str, key: str) -> Entry:
    """The entry `key` of `kind`. Raises UnknownKey, whose message lists what is on offer."""
    for entry in offered(kind):
        if entry.key == key:
            return entry
    raise UnknownKey(kind, key, tuple(entry.key for entry in offered(kind)))


__all__ = ["CATALOG", "Caution", "Entry", "Param", "Rule", "UnknownKey", "find", "mirror_registered", "offered"]
