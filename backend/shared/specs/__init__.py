"""From a request to complete specs: every field checked against the catalog, every default filled in."""

from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.specs.cautions import cautions
from densitylab.backend.shared.specs.class_order import class_order, unmatched
from densitylab.backend.shared.specs.compatibility import check_evaluations, incompatibility
from densitylab.backend.shared.specs.complete import COMPONENTS, complete
from densitylab.backend.shared.specs.cpu_threads import cpu_threads
from densitylab.backend.shared.specs.hashes import content_hash, dataset_hash, same_data, spec_hash
from densitylab.backend.shared.specs.network import network_of
from densitylab.backend.shared.specs.params import complete_params
from densitylab.backend.shared.specs.plan import Planned, plan, plan_run, with_seeds
from densitylab.backend.shared.specs.usage import (
    OptionalEntry,
    optional_component,
    optional_entries,
    plugins,
)

__all__ = [
    "COMPONENTS",
    "InvalidRequest",
    "OptionalEntry",
    "Planned",
    "cautions",
    "check_evaluations",
    "class_order",
    "complete",
    "complete_params",
    "content_hash",
    "cpu_threads",
    "dataset_hash",
    "incompatibility",
    "network_of",
    "optional_component",
    "optional_entries",
    "plan",
    "plan_run",
    "plugins",
    "same_data",
    "spec_hash",
    "unmatched",
    "with_seeds",
]
