"""The rows of a backup: written as JSON lines, and checked on the way back, so that the API can answer with them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import to_json
from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Integer, LargeBinary, Table

from densitylab.backend.ops.backup_archive import BadBackup
from densitylab.backend.shared.catalog import StudyDefinition
from densitylab.backend.shared.contracts import (
    RUN_TASKS,
    SPEC_VERSION,
    Curve,
    EventType,
    ExportRequest,
    Flag,
    Inspection,
    Misfits,
    Origin,
    PenaltyComparison,
    RegistrationPreview,
    RunSource,
    RunSpec,
    Status,
    TaskKind,
    Value,
    WebhookFormat,
)
from densitylab.backend.shared.contracts.fields import Key
from densitylab.backend.shared.specs import dataset_hash
from densitylab.backend.shared.store import events, runs, tasks
from densitylab.backend.shared.store.registered_datasets import Facts
from densitylab.backend.shared.store.studies import StoredLaunch
from densitylab.backend.shared.tables import Base
from densitylab.backend.shared.tracing import TRACEPARENT

_Id = Annotated[int, Field(ge=1, le=2**30)]  # leaves room for later ones
_Int = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
_BigInt = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
_Float = Annotated[float, Field(allow_inf_nan=False)]
_Time = Annotated[float, Field(ge=0, lt=253402300800)]  # until the year 9999
_Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def encode(row: Mapping[str, Any]) -> bytes:
    """Return a row as a JSON line; NUL characters, infinities and NaN, which PostgreSQL cannot store, are replaced."""
    storable = {name: value.replace("\0", "\ufffd") if isinstance(value, str) else value for name, value in row.items()}
    return to_json(storable, bytes_mode="base64", inf_nan_mode="null") + b"\n"


def decode(table: Table, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table. Raises BadBackup for a row that the code could not have written."""
    model, check = _row_model(table), _ROW_CHECKS.get(table.name)
    for number, line in enumerate(lines, 1):
        try:
            row = dict(model.model_validate_json(line))
            if check is not None:
                check(row)
        except ValueError as error:
            raise BadBackup(f"row {number} of its table {table.name} is not valid: {_reason(error)}") from error
        yield row


@cache
def _row_model(table: Table) -> type[BaseModel]:
    fields: dict[str, Any] = {
        column.name: (_type_of(table, column) | None if column.nullable else _type_of(table, column), ...)
        for column in table.columns
    }
    config = ConfigDict(strict=True, extra="forbid", val_json_bytes="base64", protected_namespaces=())
    return create_model(table.name, __config__=config, **fields)


def _type_of(table: Table, column: Column[Any]) -> Any:
    special = _COLUMNS.get(f"{table.name}.{column.name}")
    if special is not None:
        return special
    kinds: list[tuple[type, Any]] = [
        (Boolean, bool),
        (BigInteger, _BigInt),
        (Integer, _Id if column.name == "id" else _Int),
        (Float, _Time if column.name == "lease_until" or column.name.split("_")[-1] == "at" else _Float),
        (LargeBinary, bytes),
        (JSON, _annotation(table, column)),
    ]
    return next((kind for sql_type, kind in kinds if isinstance(column.type, sql_type)), _Text)


def _annotation(table: Table, column: Column[Any]) -> Any:
    """Return the type in the annotation of the column, without Mapped."""
    (row_class,) = (mapper.class_ for mapper in Base.registry.mappers if mapper.local_table is table)
    return get_args(get_type_hints(row_class)[column.name])[0]


def _as(kind: Any) -> Any:
    """Return the type of a value that is stored as it is and has to be readable as `kind`."""
    adapter = TypeAdapter[Any](kind)

    def check(value: Any) -> Any:
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(_reason(error)) from error
        return value

    return Annotated[Any, AfterValidator(check)]


def _spec(stored: Any) -> Any:
    try:
        spec = runs.stored_spec(stored)
        RunSpec.model_validate(spec.model_dump(warnings=False))
    except ValidationError as error:
        raise ValueError(_reason(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it is not the spec of a run") from error
    return stored


_COLUMNS: dict[str, Any] = {
    "runs.spec_version": Annotated[int, Field(ge=1, le=SPEC_VERSION)],
    "runs.spec": Annotated[Any, AfterValidator(_spec)],
    "runs.origin": _as(Origin),
    "runs.source": _as(RunSource),
    "runs.metrics": dict[str, float | None],
    "runs.results": _as(dict[str, Value]),
    "runs.flags": _as(list[Flag]),
    "tasks.kind": _as(TaskKind),
    "tasks.status": _as(Status),
    "evaluations.name": Key,
    "evaluations.key": Key,
    "evaluations.values": _as(dict[str, Value]),
    "evaluations.curves": _as(dict[str, Curve]),
    "evaluations.flags": _as(list[Flag]),
    "studies.key": Key,
    "studies.datasets": dict[str, str],
    "studies.definition": _as(StudyDefinition),
    "studies.launches": _as(list[StoredLaunch]),
    "datasets.key": Key,
    "datasets.sizes": dict[str, int],
    "datasets.class_counts": dict[str, list[int]],
    "datasets.group_counts": dict[str, list[int]],
    "registered_datasets.key": Key,
    "registered_datasets.facts": _as(Facts),
    "tokens.digest": _Hash,
    "uploads.content_hash": _Hash,
    "webhooks.events": _as(list[EventType]),
    "webhooks.format": _as(WebhookFormat),
}


class _Registration(BaseModel):
    key: Key
    label: str
    upload: str | None
    path: str | None = None


class _Preview(BaseModel):
    upload: str | None
    found: RegistrationPreview | None = None


class _Preparation(BaseModel):
    key: Key
    params: dict[str, Any]


class _Inspection(BaseModel):
    upload: str
    file_name: str
    found: Inspection | None = None


class _Import(BaseModel):
    upload: str | None
    inspection: int | None
    file_name: str
    name: str
    experiment: int | None
    request: dict[str, Any]
    spec: dict[str, Any]
    provenance: dict[str, str]
    misfits: Misfits = Field(default_factory=Misfits)


class _Penalties(BaseModel):
    spec: RunSpec
    lambda_: float
    reference: dict[str, Any]
    seeds: list[int]
    run: int | None
    images: int
    found: PenaltyComparison | None = None


_PAYLOADS: dict[str, type[BaseModel]] = {
    TaskKind.INSPECT: _Inspection,
    TaskKind.IMPORT: _Import,
    TaskKind.REGISTER: _Registration,
    TaskKind.PREVIEW: _Preview,
    TaskKind.PREPARE: _Preparation,
    TaskKind.EXPORT: ExportRequest,
    TaskKind.PENALTIES: _Penalties,
}


def _check_run(row: dict[str, Any]) -> None:
    _require(
        all(row[name] == row["spec"][name]["key"] for name in ("dataset", "model", "regularizer")),
        "its data set, model or regularizer is not that of its spec",
    )
    init_from = row["spec"].get("init_from")
    _require(
        row["init_from_run"] == (init_from and init_from["run"])
        and (init_from is None or init_from["run"] < row["id"]),
        "the run that it starts from is not that of its spec, or is not an earlier one",
    )


def _check_task(row: dict[str, Any]) -> None:
    of_run = row["kind"] in (*RUN_TASKS, TaskKind.EVALUATE, TaskKind.EXPORT)
    # An import makes its run at its end
    fits = (row["run_id"] is not None) == of_run or row["kind"] == TaskKind.IMPORT
    _require(fits, f"a task of kind {row['kind']} belongs to a run, or does not")
    try:
        tasks.priority_of(row["priority"])
    except KeyError as error:
        raise ValueError("its priority does not exist") from error
    if row["kind"] in _PAYLOADS:
        given = {name: value for name, value in row["payload"].items() if name != TRACEPARENT}
        _PAYLOADS[row["kind"]].model_validate(given)


def _check_event(row: dict[str, Any]) -> None:
    events.type_of(row["kind"], row["status"])


def _check_artifact(row: dict[str, Any]) -> None:
    _require(row["location"].startswith(f"runs/{row['run_id']}/"), "its location is not below those of its run")
    _require(row["bytes"] >= 0 and row["media_type"].isascii() and row["media_type"].isprintable(), "its size or type")


def _check_attribution(row: dict[str, Any]) -> None:
    _require((row["location"] or "attributions/").startswith("attributions/"), "its location is not one of maps")


def _check_dataset(row: dict[str, Any]) -> None:
    location = row["samples_location"]
    _require((location or "datasets/").startswith("datasets/"), "its location is not one of data sets")
    _require(row["params_hash"] == dataset_hash(row["params"]), "its hash is not that of its parameters")
    _require(not row["ready"] or row["data_hash"] is not None, "it is ready, but has no hash of its data")


def _check_upload(row: dict[str, Any]) -> None:
    _require(row["content_hash"] == hashlib.sha256(row["pixels"]).hexdigest(), "its hash is not that of its pixels")


_ROW_CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "runs": _check_run,
    "tasks": _check_task,
    "events": _check_event,
    "artifacts": _check_artifact,
    "attributions": _check_attribution,
    "datasets": _check_dataset,
    "uploads": _check_upload,
}


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))[:100]
    message = first["msg"].removeprefix("Value error, ")
    return ascii(f"{field}: {message}" if field else message)[1:-1]
