"""A system with something of everything in it, and backups of it with other content."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from densitylab.backend.reconciler import System
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.callers import LOCAL
from densitylab.backend.shared.catalog import Catalog, StudyEntry
from densitylab.backend.shared.contracts import AttributionRequest, Panel, Samples
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import attributions, datasets, registered_datasets, runs, studies, uploads
from densitylab.backend.shared.store.studies import StoredLaunch
from densitylab.backend.shared.tables import WebhookRow

IMAGES = {"train/images.npy": b"images", "train/labels.npy": b"labels"}
_file = io.BytesIO()
np.savez(_file, attributions=np.zeros((1, 1, 1, 8, 8)))
MAPS = _file.getvalue()
SECRET = "whsec_c2VjcmV0"
FACTS = {
    "num_classes": 2,
    "class_names": ["light", "dark"],
    "channels": 1,
    "image_size": [8, 8],
    "mean": [0.5],
    "std": [0.2],
    "train_size": 1,
}


def register(system: System, place: ArtifactStore, folder: str) -> None:
    """Register a data set `birds` whose images are in this folder of this store."""
    manifest = {"data_hash": "b" * 64, "sizes": {"train": 1}, "class_counts": {}, "mean": [0.5], "std": [0.2]}
    for name, content in {**IMAGES, "manifest.json": json.dumps(manifest).encode()}.items():
        place.write(f"{folder}/{name}", content)
    samples = "datasets/birds/x/samples.npz"
    system.store.write(samples, b"samples")
    with system.database.write() as session:
        registered_datasets.add(session, "birds", label="Birds", summary="Your own images.", facts=FACTS)
        datasets.set_ready(
            session,
            "birds",
            {},
            size=12,
            data_hash="b" * 64,
            sizes={"train": 1},
            class_counts={"train": [1, 0]},
            samples_location=samples,
        )


def local_images(settings: Settings) -> tuple[ArtifactStore, str]:
    folder = datasets.prepared_folder(settings.data_dir, "birds", {}).relative_to(settings.data_dir)
    return ArtifactStore(str(settings.data_dir)), folder.as_posix()


def fill(work: Any, settings: Settings) -> None:
    """Fill the system of `work` with four runs, maps, a registered data set, an upload, a webhook and a study."""
    done, running, _ = work.launch(sweep={"seed": [0, 1, 2]})
    (alone,) = work.launch()  # ends its experiment
    for run_id in (done, alone):
        work.train(run_id)
        work.finish_evaluations(run_id)
    work.start(running)
    register(work.system, *local_images(settings))
    request = AttributionRequest(runs=[done], samples=Samples(indices=[0]))
    with work.system.database.write() as session:
        runs.patch(session, done, {"name": "teacher", "tags": ["best"], "notes": "the one to keep"})
        number = attributions.create(session, request.model_dump(), "c" * 64)
        row = attributions.of_task(session, attributions.get(session, number).task)
        location = f"attributions/{number}-1.npz"
        work.system.store.write(location, MAPS)
        panel = Panel(run=done, index=0, label=1, target=1, predicted=1, confidence=0.9)
        attributions.store(
            session,
            row.id,
            panels=[panel],
            limit=1.0,
            data_hash="d" * 64,
            location=location,
            size=len(MAPS),
            seconds=1.0,
        )
        pixels = bytes(number % 256 for number in range(56 * 28))
        digest = hashlib.sha256(pixels).hexdigest()
        uploads.create(session, "blockmnist", content_hash=digest, pixels=pixels, height=56, width=28)
        study = Catalog.built_in().find(StudyEntry, "leakage")
        launches = [StoredLaunch("mlp_relu", experiment=1), StoredLaunch("mlp_gelu", left_out="It needs birds.")]
        studies.create(session, study.definition(study.sizes[0]), {"blockmnist": "birds"}, launches, LOCAL)
        session.add(
            WebhookRow(
                url="https://example.com/hook",
                secret=SECRET,
                events=["run.failed"],
                format="event",
                seen_event=0,
                created_at=1.0,
            )
        )


def members(backup: Path) -> dict[str, bytes]:
    """Return the content of a backup's members by name."""
    with tarfile.open(backup) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def write(path: Path, content: dict[str, bytes]) -> None:
    """Write a tar with these members."""
    with tarfile.open(path, "w") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def sealed(content: dict[str, bytes]) -> dict[str, bytes]:
    """Return the members with a list that fits them, as one who knows the format would make it."""
    listed = json.loads(content["backup.json"])
    others = {name: data for name, data in content.items() if name != "backup.json"}
    listed["members"] = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in others.items()
    }
    return {**others, "backup.json": json.dumps(listed).encode()}


def with_rows(content: dict[str, bytes], table: str, change: Callable[[dict[str, Any]], Any]) -> dict[str, bytes]:
    """Return sealed members in which `change` was called with the first row of the table."""
    name = f"rows/{table}.jsonl"
    first, *others = content[name].splitlines()
    row = json.loads(first)
    change(row)
    return sealed({**content, name: b"\n".join([json.dumps(row).encode(), *others, b""])})


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return every path below a folder, with the content of the files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def command(settings: Settings, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start `densitylab` with the settings."""
    environment = {
        **os.environ,
        "DENSITYLAB_HOME": str(settings.home),
        "DENSITYLAB_DATABASE_URL": settings.database_url,
        "DENSITYLAB_REDIS_URL": settings.redis_url,
    }
    argv = [sys.executable, "-P", "-m", "densitylab", *map(str, arguments)]
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
