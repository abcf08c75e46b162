"""Models to take away: a request for files, and the folder of an export."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import yaml
from sqlalchemy.orm import Session

from densitylab.backend.services.model_card import model_card
from densitylab.backend.services.runs import damaged
from densitylab.backend.services.runs import get as get_run
from densitylab.backend.shared.artifacts import ArtifactStore, DamagedFile, checksum
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import ExportFormat, ExportRequest, ModelConfig, Origin, Run, TaskKind
from densitylab.backend.shared.errors import Conflict
from densitylab.backend.shared.model_config import UnknownImages, model_config
from densitylab.backend.shared.store import evaluations, exports, run_artifacts, runs, tasks


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export's folder: its content, or the location of a stored file."""

    name: str
    content: bytes = b""
    location: str | None = None


def request(session: Session, catalog: Catalog, run_id: int, body: ExportRequest, owner: Caller) -> int:
    """Queue an export of a run's model; return the task's id, or that of one under way which makes the same files.

    Raises:
        NotFound: there is no such run.
        Conflict: it has no checkpoint yet, or its data set was removed.
    """
    if not runs.lock(session, run_id):
        get_run(session, run_id)  # raises
    run = get_run(session, run_id)
    if run.checkpoint_step is None:
        raise Conflict(f"run {run_id} has no checkpoint yet: its model can be exported once it has trained")
    config(session, catalog, run)
    formats = list(dict.fromkeys(body.formats))
    present = exports.under_way(session, run_id, formats)
    if present is not None:
        return present
    return tasks.create(session, TaskKind.EXPORT, run_id=run_id, payload={"formats": formats}, owner=owner).id


def config(session: Session, catalog: Catalog, run: Run) -> ModelConfig:
    """Return the config.json of a run's model, with the hash of its exported weights. Raises Conflict."""
    weights = exports.present(session, run.id).get(ExportFormat.SAFETENSORS)
    try:
        return model_config(catalog, run, None if weights is None else checksum(weights.location))
    except UnknownImages as error:
        raise Conflict(str(error)) from None


def folder(session: Session, catalog: Catalog, store: ArtifactStore, run_id: int) -> list[ExportedFile]:
    """Return the files of a run's export, each stored one checked: config, card, spec, and the files made so far.

    Raises:
        NotFound: there is no such run.
        Conflict: the weights are not exported yet, a file is damaged, or the data set was removed.
    """
    run = get_run(session, run_id)
    stored = exports.present(session, run_id)
    if ExportFormat.SAFETENSORS not in stored:
        raise Conflict(
            f"the weights of run {run_id} are not exported yet, or those of an earlier checkpoint: request them with "
            f"POST /api/v1/runs/{run_id}/exports, then download the folder"
        )
    for name, row in stored.items():
        try:
            store.open(row.location).close()
        except (DamagedFile, FileNotFoundError):
            raise damaged(run_id, name.file_name) from None
    about = config(session, catalog, run)
    hashes = {name.file_name: checksum(row.location) or "" for name, row in stored.items()}
    checkpoint = run_artifacts.artifact(session, run_id, run_artifacts.CHECKPOINT)
    card = model_card(
        catalog,
        run,
        evaluations.of_run(session, run_id),
        about,
        hashes=hashes,
        checkpoint=None if checkpoint is None else checksum(checkpoint.location),
    )
    files = [
        ExportedFile("README.md", card.encode()),
        ExportedFile("config.json", (json.dumps(about.model_dump(mode="json"), indent=2) + "\n").encode()),
    ]
    if run.origin is Origin.TRAINED:
        files.append(ExportedFile("spec.yaml", spec_yaml(run).encode()))
    return files + [ExportedFile(name.file_name, location=row.location) for name, row in stored.items()]


def spec_yaml(run: Run) -> str:
    """Return the request that launches the same run again, for `densitylab launch`."""
    request = {"name": f"run {run.id} again", "spec": run.spec.model_dump(mode="json")}
    return yaml.safe_dump(request, sort_keys=False, allow_unicode=True)


def opened(store: ArtifactStore, files: list[ExportedFile]) -> Iterator[tuple[str, bytes | IO[bytes]]]:
    """Yield each file's name with its content, or the open stored file, which the caller closes."""
    for file in files:
        yield file.name, file.content if file.location is None else store.open(file.location, check=False)
