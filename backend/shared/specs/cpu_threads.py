"""CPU threads of a run's training, evaluations and maps.

Sums are rounded differently on another number of threads, so the number follows from the spec and never from the
machine: the same spec gives the same bits on one core and on many. Threads pay on large networks alone; on small ones
they mostly wait for each other, longest where other processes use the cores too (docs/speed.md).
"""

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.specs.network import network_of

LARGE = 100e6  # multiplications of a forward pass of one image
THREADS_OF_LARGE = 2


def cpu_threads(catalog: Catalog, spec: RunSpec, override: int = 0) -> int:
    """Return the number of threads, at least 1: the spec's own, else that of the machine, else by the rule.

    The rule: `THREADS_OF_LARGE` for a network of at least `LARGE` multiplications, else one; also one where its cost is
    not known.

    Args:
        catalog: has the run's network and data set.
        spec: complete.
        override: `DENSITYLAB_THREADS` of the machine, in place of the rule; 0: none.

    Raises:
        UnknownKey: the network or the data set is of a plug-in that is gone.
    """
    if spec.threads is not None:
        return spec.threads
    if override:
        return override
    cost = network_of(catalog, spec)
    return THREADS_OF_LARGE if cost is not None and cost.multiplications >= LARGE else 1
