"""Delete what earlier tasks left in this host's data folder. The reconciler does so on its own host only."""

import logging

from densitylab.backend.shared import data_leftovers
from densitylab.worker.jobs.context import Context

_log = logging.getLogger(__name__)


def delete(context: Context) -> None:
    """Delete leftovers if there can be other hosts than the reconciler's; log what can't be deleted."""
    if not context.artifacts.shared:
        return
    try:
        data_leftovers.delete(context.database, context.settings.data_dir)
    except OSError as error:
        _log.warning("leftovers of earlier tasks can't be deleted: %s", error)
