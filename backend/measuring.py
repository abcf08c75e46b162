"""A measure asked for of a trained run: a new one, or what is kept of an earlier request."""

from sqlalchemy.orm import Session

from backend import launching
from backend.shared import specs
from backend.shared.catalog import UnknownKey, find
from backend.shared.contracts import EvaluationSpec, FieldError, Run
from backend.shared.specs import InvalidRequest
from backend.shared.store import evaluations, tasks


class NotTrained(RuntimeError):
    """The run has no checkpoint to measure."""


class NameTaken(RuntimeError):
    """The run has an evaluation of that name, with other parameters."""


def ask(session: Session, run: Run, body: EvaluationSpec) -> tuple[str, bool]:
    """(name of the evaluation, whether it is kept and nothing is to be done).

    The same measure with the same parameters, of the checkpoint that the run has now, is answered from what is kept
    whatever its name, unless the request names another. One that failed, was cancelled, or is of an older checkpoint or
    version of the measure is taken again. A request without a name takes the measure's key, numbered where that is
    taken.

    Raises:
        InvalidRequest, NotTrained, NameTaken.
        launching.NotPrepared: a data set that the measure needs is not ready.
    """
    spec = _complete(body, run)
    launching.check_sources(session, run.spec.dataset, [spec], at="", of_run=run.id)
    if run.checkpoint_step is None:
        raise NotTrained(f"run {run.id} has no checkpoint yet: measures can be taken once it has trained")
    launching.prepare_for(session, [spec])
    if body.name is None:
        kept = evaluations.alike(session, run.id, spec.key, spec.params)
        if kept is None:
            spec.name = _free_name(session, run.id, spec.key)
    else:
        kept = evaluations.named(session, run.id, body.name)
    if kept is None:
        evaluations.create(session, run.id, spec)
        return spec.name or spec.key, False
    if (kept.key, kept.params) != (spec.key, spec.params):
        raise NameTaken(
            f"run {run.id} already has an evaluation {kept.name!r} with other parameters; choose another name"
        )
    if not kept.status.final or evaluations.is_current(kept, run.checkpoint_step):
        return kept.name, True
    tasks.retry(session, kept.task, succeeded=True)
    return kept.name, False


def _free_name(session: Session, run_id: int, key: str) -> str:
    taken = {item.name for item in evaluations.of_run(session, run_id)}
    return next(name for name in (key, *(f"{key}_{n}" for n in range(2, len(taken) + 3))) if name not in taken)


def _complete(body: EvaluationSpec, run: Run) -> EvaluationSpec:
    """The evaluation with every default filled in. Raises InvalidRequest."""
    spec = body.model_copy(deep=True)
    errors: list[FieldError] = []
    try:
        dataset = find("dataset", run.spec.dataset.key)
    except UnknownKey:
        dataset = None  # a run of a data set that is no longer on offer
    specs.check_evaluations([spec], dataset, run.spec.model, "", errors)
    if errors:
        raise InvalidRequest(errors)
    return spec


def at_root(error: InvalidRequest) -> InvalidRequest:
    """A measure stands at "/0" in the list that was checked, and at the root of the body."""
    return InvalidRequest([
        FieldError(pointer=item.pointer.removeprefix("/0"), detail=item.detail) for item in error.errors
    ])
