"""The rights of a valid token: the administrator has all; others neither manage tokens nor, without
DENSITYLAB_SHARED_RUNS, change what others made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from densitylab.backend.api.authentication import ReadOnlyToken
from densitylab.backend.api.dependencies import CallerDep, current_caller
from densitylab.backend.services.ownership import require_owner
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts.fields import Id, Key
from densitylab.backend.shared.errors import DomainError
from densitylab.backend.shared.store import owners


@dataclass(frozen=True)
class _Rule:
    """With these methods, a request whose path has this parameter belongs to the owner of what it names."""

    parameter: str
    kind: str
    owners: Callable[[Session, Any], owners.Owners]
    methods: tuple[str, ...]
    value: TypeAdapter[Any] = TypeAdapter(Id)  # noqa: RUF009 - reads the parameter as the routes do: +7 is 7


_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
RULES = (
    _Rule("run_id", "run", owners.of_run, _CHANGING),
    _Rule("experiment_id", "experiment", owners.of_experiment, ("POST", "PUT", "PATCH")),
    _Rule("experiment_id", "experiment", owners.of_experiment_with_runs, ("DELETE",)),
    _Rule("study_id", "study", owners.of_study, _CHANGING),
    _Rule("task_id", "task", owners.of_task, _CHANGING),
    _Rule("webhook_id", "webhook", owners.of_webhook, ("GET", *_CHANGING)),  # its URL may be a secret
    _Rule("key", "data set", owners.of_dataset, ("DELETE",), TypeAdapter(Key)),  # everyone may prepare one
)


class AdministratorOnly(DomainError):
    """A request that only the administrator may make."""

    status = 403

    def __init__(self) -> None:
        super().__init__("only the administrator manages tokens: this request needs DENSITYLAB_API_TOKEN")


def require_administrator(caller: CallerDep) -> None:
    """Raise AdministratorOnly for any other caller."""
    if not caller.administrator:
        raise AdministratorOnly


def require_full(caller: CallerDep) -> None:
    """Raise ReadOnlyToken for a read-only token."""
    if caller.read_only:
        raise ReadOnlyToken(caller.name)


async def require_ownership(request: Request) -> None:
    """Raise NotOwner if the caller may not change what the path names. An action on many runs checks each of them."""
    caller = await current_caller(request)
    if not caller.changes_all:  # others need no thread
        await run_in_threadpool(_require_ownership, request, caller)


def _require_ownership(request: Request, caller: Caller) -> None:
    for rule in RULES:
        if rule.parameter not in request.path_params or request.method not in rule.methods:
            continue
        try:
            value = rule.value.validate_python(request.path_params[rule.parameter])
        except ValidationError:
            continue  # the route refuses it
        with request.app.state.database.read() as session:
            require_owner(caller, rule.owners(session, value), f"{rule.kind} {value}")
