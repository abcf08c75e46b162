"""Claims the further runs that a worker trains together with the one that it has."""

import logging
import time
from contextlib import ExitStack
from typing import Any

from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.store import runs, stacks
from densitylab.worker.errors import Interrupted
from densitylab.worker.jobs import task_runner
from densitylab.worker.jobs.attempt import Attempt
from densitylab.worker.jobs.context import Context
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.training.stacked.eligibility import obstacle
from densitylab.worker.training.stacked.gain import paying
from densitylab.worker.training.stacked.member import Member

LARGEST = 64  # runs that train together
_READ = 256  # further runs of an experiment, of which those that fit are taken
_WAIT_SECONDS = 0.2

_log = logging.getLogger(__name__)


def partners(context: Context, attempt: Attempt, member: Member, leases: ExitStack) -> list[Attempt]:
    """Claim the runs to train together with `attempt`; return their attempts, none if it is to train alone. Their
    leases are renewed until `leases` is closed.

    They are queued runs of its experiment whose specs differ in λ, seed, learning rate, weight decay and evaluations
    alone, and which are at the same step. Runs that trained together with this one until their worker died are waited
    for until their leases expire, so that the same runs go on together.
    """
    choice, device = context.settings.stack_runs, attempt.state.device
    if choice == "never" or (choice == "auto" and device.type == "cpu"):
        return []
    _wait_for_former(context, attempt)
    tasks = _alike(context, attempt)
    if not tasks:
        return []
    reason = _reason(attempt, member)
    if reason is not None:
        _log.info("run %d trains alone: %s", attempt.record.id, reason)
        return []
    try:
        count = paying(member, min(len(tasks) + 1, LARGEST), measure=choice == "auto")
    except RuntimeError as error:
        _log.warning("run %d trains alone, since several such networks can't be one: %s", attempt.record.id, error)
        return []
    claimed = Lease.claim_more(context.database, list(tasks.values())[: count - 1])
    for lease in claimed:
        leases.enter_context(lease)
    return [other for lease in claimed if (other := _opened(context, lease, attempt)) is not None]


def _reason(attempt: Attempt, member: Member) -> str | None:
    spec = attempt.record.spec
    if spec.init_from is not None:
        return "it starts from another run"
    if spec.early_stop is not None and not len(attempt.images.validation):
        return "it stops early, and there are no validation images"
    return obstacle(member)


def _alike(context: Context, attempt: Attempt) -> dict[int, int]:
    """Return the tasks of the runs that could train together with this one, by run, in the order of the
    queue."""
    with context.database.read() as session:
        tasks = stacks.siblings(session, attempt.lease.task.task_id, _READ)
        others = runs.many(session, list(tasks))
    wanted, step = _shared(attempt.record.spec), attempt.state.step
    return {
        run_id: task_id
        for run_id, task_id in tasks.items()
        if (other := others.get(run_id)) is not None
        and (other.checkpoint_step or 0) == step
        and _shared(other.spec) == wanted
    }


def _shared(spec: RunSpec) -> dict[str, Any]:
    """Return what the specs of runs that train together have in common."""
    shared = spec.model_dump(exclude={"lambda_", "seed", "evaluations"})
    params = shared["optimizer"]["params"]
    shared["optimizer"]["params"] = {
        name: value for name, value in params.items() if name not in ("lr", "weight_decay")
    }
    return shared


def _opened(context: Context, lease: Lease, first: Attempt) -> Attempt | None:
    """Return the attempt at a claimed run; None if it can't train together with the first one after all."""
    with context.database.read() as session:
        record = runs.get(session, lease.run_id)
    if record is None:
        return None  # it is being deleted
    try:
        attempt = Attempt(context, lease, record, first.images, first.state.device)
    except Exception as error:
        task_runner.end(lease, error)
        return None
    if attempt.state.step != first.state.step:  # its checkpoint was damaged
        lease.release()
        return None
    return attempt


def _wait_for_former(context: Context, attempt: Attempt) -> None:
    if attempt.state.step == 0:
        return
    former = attempt.record.provenance.get("stacked", {}).get("runs", [])
    while former:
        with context.database.read() as session:
            if not stacks.fading(session, former):
                return
        if attempt.lease.should_stop():
            raise Interrupted(f"run {attempt.record.id} stopped before it went on")
        time.sleep(_WAIT_SECONDS)
