"""A real API process with runs in every state, and Streamlit's own driver for the pages."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import pytest
import streamlit as st
from sqlalchemy import select
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from densitylab.backend.ops import migrate
from densitylab.backend.shared import contracts, specs
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Status, TaskKind, Value
from densitylab.backend.shared.contracts.studies import Study
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import (
    attributions,
    datasets,
    evaluations,
    imports,
    logs,
    metrics,
    run_artifacts,
    runs,
    tasks,
)
from densitylab.backend.shared.tables import AttributionRow, TaskRow
from densitylab.frontend.client import ApiClient, connect
from densitylab.frontend.ui.chart_card import TABLE_ICON
from tests.frontend.studies import finished_leakage
from tests.servers import free_port

CATALOG = Catalog.built_in()

ROOT = Path(__file__).parents[2]
# Of a small CNN for ten classes, without its id
INSPECTION: dict[str, object] = {
    "file_name": "stranger.pt",
    "bytes": 1_234_567,
    "sha256": "a1" * 32,
    "format": "PyTorch checkpoint",
    "weights_key": "state_dict",
    "parts": [{"key": "state_dict", "tensors": 12}],
    "removed_prefix": "module.",
    "tensors": 12,
    "parameters": 1_500_000,
    "dtypes": {"float16": 12},
    "shapes": [{"name": "first.weight", "shape": [32, 1, 3, 3], "dtype": "float16"}],
    "channels": 1,
    "outputs": 10,
    "class_names": [],
    "class_order": None,
    "entries": {"epoch": "90"},
    "models": [
        {"key": "cnn", "params": {"width": 16}, "label": "Small CNN", "matching": 12, "weights": 12, "complete": True},
        {"key": "mlp", "params": {}, "label": "MLP", "matching": 1, "weights": 6, "complete": False},
    ],
}


@dataclass
class LiveApi:
    """A served API without broker or workers; `finish` and `fail` write what workers would."""

    url: str
    client: ApiClient
    database: Database
    store: ArtifactStore

    def launch(self, spec: dict[str, object] | None = None, sweep: dict[str, list[object]] | None = None) -> list[int]:
        """Ids of the runs of a new experiment."""
        body = {"name": "from a test", "spec": spec or {}, "sweep": sweep}
        answer = httpx.post(f"{self.url}/api/v1/experiments", json=body).raise_for_status()
        return answer.json()["runs"]

    def _claim(self, task_id: int) -> tasks.Claim:
        with self.database.write() as session:
            held = tasks.claim(session, task_id, worker="test", lease_seconds=600)
        assert held is not None
        return held

    def start(self, run_id: int) -> tasks.Claim:
        """As a worker that has trained ten steps."""
        with self.database.read() as session:
            task_id = runs.train_task(session, run_id)
        assert task_id is not None
        held = self._claim(task_id)
        with self.database.write() as session:
            runs.set_started(session, run_id, device="cpu", data_hash="d" * 64, provenance={"commit": "abc"})
            points = [
                metrics.Point(name=name, step=step, epoch=step / 36, value=1 / step, seconds=step / 10)
                for name in ("loss", "cross_entropy", "train_accuracy", "gradient_norm")
                for step in range(1, 11)
            ]
            metrics.append(session, run_id, points)
            logs.append(session, run_id, [(time.time(), "INFO", "the first line of the log")])
        return held

    def fail(self, run_id: int, error: str) -> None:
        held = self.start(run_id)
        with self.database.write() as session:
            tasks.finish(session, held, Status.FAILED, error)

    def fail_evaluation(self, run_id: int, name: str, error: str) -> None:
        """Of a trained run."""
        with self.database.read() as session:
            evaluation = evaluations.named(session, run_id, name)
        assert evaluation is not None
        held = self._claim(evaluation.task)
        with self.database.write() as session:
            tasks.finish(session, held, Status.FAILED, error)

    def finish(self, run_id: int, **results: float) -> None:
        """Trained, with a checkpoint, and every measure taken; `results` are values by evaluation__value."""
        held = self.start(run_id)
        location = f"runs/{run_id}/checkpoints/1-10.pt"
        size = self.store.write(location, b"weights")
        with self.database.write() as session:
            run_artifacts.move_checkpoint(session, run_id, location=location, size=size, step=10)
            tasks.finish(session, held, Status.SUCCEEDED, None)
        self.measure(run_id, **results)

    def measure(self, run_id: int, **results: float) -> None:
        """Takes every measure of the run that is still to come."""
        with self.database.read() as session:
            waiting = [item for item in evaluations.of_run(session, run_id) if item.status is Status.QUEUED]
        for item in waiting:
            measured = self._claim(item.task)
            values = {
                name.partition("__")[2]: Value(
                    value=value, low=value - 0.01, high=value + 0.01, n=1000, higher_is_better=True
                )
                for name, value in results.items()
                if name.partition("__")[0] == item.name
            }
            with self.database.write() as session:
                evaluations.store(session, item.id, values=values, curves={}, flags=[], seconds=0.5, provenance={})
                tasks.finish(session, measured, Status.SUCCEEDED, None)

    def train(self, spec: dict[str, object], sweep: dict[str, list[object]] | None = None) -> list[int]:
        """Launched and finished with a good accuracy."""
        found = self.launch(spec, sweep)
        for run_id in found:
            self.finish(run_id, accuracy__accuracy=0.9)
        return found

    def newest_task(self, kind: TaskKind) -> tasks.Claim:
        """Claim the newest task of this kind, as a worker."""
        with self.database.read() as session:
            newest = session.scalars(
                select(TaskRow.id).where(TaskRow.kind == kind).order_by(TaskRow.id.desc()).limit(1)
            ).one()
        return self._claim(newest)

    def inspect(self, **found: object) -> int:
        """Answer the newest request for an inspection; return its id."""
        held = self.newest_task(TaskKind.INSPECT)
        with self.database.write() as session:
            imports.keep_inspection(session, held.task_id, contracts.Inspection(id=held.task_id, **INSPECTION | found))
            tasks.finish(session, held, Status.SUCCEEDED, None)
        return held.task_id

    def end(self, held: tasks.Claim, status: Status, error: str | None = None) -> None:
        with self.database.write() as session:
            tasks.finish(session, held, status, error)

    def fail_import(self, held: tasks.Claim, error: str, misfits: contracts.Misfits) -> None:
        """Fail an import because these weights do not fit, as a worker would."""
        with self.database.write() as session:
            imports.keep_misfits(session, held.task_id, misfits)
            tasks.finish(session, held, Status.FAILED, error)

    def import_model(
        self,
        file_name: str = "stranger.pt",
        *,
        lambda_: float | None = None,
        experiment: int | None = None,
        flags: Sequence[contracts.Flag] = (),
        check: contracts.NormalizationCheck | None = None,
        held: tasks.Claim | None = None,
        **results: float,
    ) -> int:
        """Import a small CNN, as a worker would, for the import `held` or one of its own; `results` as for `finish`.
        Return the run's id."""
        request = contracts.ImportRequest(dataset={"key": "blockmnist"}, model={"key": "cnn"}, source="A paper of 2026")
        interface = {"mean": [0.5], "std": [0.5]}
        planned = specs.plan_run(
            CATALOG,
            {**request.model_dump(include={"dataset", "model", "evaluations"}), "interface": interface, "lambda_": 0},
        )
        payload = {
            "request": request.model_dump(mode="json"),
            "posted": {},
            "upload": None,
            "name": file_name,
            "experiment": experiment,
        }
        if held is None:
            with self.database.write() as session:
                task = tasks.create(session, TaskKind.IMPORT, payload=payload)
            held = self._claim(task.id)
        source = contracts.RunSource(
            file_name=file_name,
            sha256="a1" * 32,
            bytes=1_234_567,
            text=request.source,
            format="PyTorch checkpoint",
            weights_key="state_dict",
            removed_prefix="module.",
            normalization_check=check,
        )
        with self.database.write() as session:
            run_id = imports.add_run(
                session,
                held,
                spec=planned.spec,
                lambda_=lambda_,
                source=source,
                flags=flags,
                device="cpu",
                data_hash="d" * 64,
                provenance={},
                lines=[],
                move=lambda location: self.store.write(location, b"weights"),
                staged="models/1.pt",
                size=7,
                parameter_names=["0.weight", "0.bias"],
            )
            tasks.finish(session, held, Status.SUCCEEDED, None)
        if results:
            self.measure(run_id, **results)
        return run_id

    def prepare(self, key: str = "blockmnist", size: int = 20) -> None:
        """Makes the data set ready with its usual parameters: image i is all of grey level i, its label i % 10, its
        group i % the number of groups."""
        entry = CATALOG.find("dataset", key)
        shape = (size, entry.channels, *entry.image_size)
        content: dict[str, np.ndarray] = {}
        for split in ("train", "validation", "test"):
            levels = np.arange(size, dtype=np.uint8)
            content[f"{split}_images"] = np.broadcast_to(levels[:, None, None, None], shape).copy()
            content[f"{split}_labels"] = levels % 10
            if entry.has_mask:
                content[f"{split}_masks"] = np.zeros(shape, dtype=bool)
            if entry.has_groups:
                content[f"{split}_groups"] = levels % len(entry.group_names)
        location = f"datasets/{key}/x/samples.npz"
        self.store.write(location, _npz(**content))
        with self.database.write() as session:
            datasets.set_ready(
                session,
                key,
                {param.name: param.default for param in entry.params},
                size=10,
                data_hash="d" * 64,
                class_counts={},
                sizes=dict.fromkeys(("train", "validation", "test"), size),
                samples_location=location,
            )

    def keep_predictions(self, run_id: int, predicted: Sequence[int]) -> None:
        """As the accuracy evaluation leaves them, for the data of `prepare`."""
        labels = np.arange(len(predicted)) % 10
        content = _npz(predicted=np.array(predicted), correct=np.array(predicted) == labels)
        location = f"runs/{run_id}/evaluations/accuracy.npz"
        size = self.store.write(location, content)
        with self.database.write() as session:
            run_artifacts.put_artifact(
                session, run_id, "accuracy.npz", location=location, size=size, media_type="application/zip"
            )

    def measured(
        self,
        run_id: int,
        name: str,
        *,
        values: dict[str, Value] | None = None,
        curves: dict[str, contracts.Curve] | None = None,
        flags: Sequence[contracts.Flag] = (),
        **arrays: Sequence[float],
    ) -> None:
        """Of a finished run: as the evaluation of that name leaves its values, curves, flags and arrays."""
        location = f"runs/{run_id}/evaluations/{name}.npz"
        size = self.store.write(location, _npz(**{array: np.array(numbers) for array, numbers in arrays.items()}))
        with self.database.write() as session:
            item = evaluations.named(session, run_id, name)
            assert item is not None
            evaluations.store(
                session,
                item.id,
                values=values or {},
                curves=curves or {},
                flags=list(flags),
                seconds=0.5,
                provenance={"checkpoint_step": 10},
            )
            run_artifacts.put_artifact(
                session, run_id, f"{name}.npz", location=location, size=size, media_type="application/zip"
            )

    def draw(self, *, zero: bool = False) -> contracts.Attribution:
        """Answers the newest request for maps with random ones, or with zeros."""
        with self.database.read() as session:
            newest = session.scalars(select(AttributionRow.id).order_by(AttributionRow.id.desc())).first()
            asked = attributions.get(session, newest or 0)
        assert asked is not None
        held = self._claim(asked.task)
        count, indices = len(asked.runs), asked.samples.indices
        maps = np.random.default_rng(0).normal(size=(count, len(indices), 1, 56, 28)).astype(np.float32)
        maps *= 0 if zero else 1
        perturbed = (
            {}
            if asked.perturbation is None
            else {"perturbed_attributions": maps[::-1], "perturbed_images": np.full(maps.shape, 0.1, np.float32)}
        )
        content = _npz(
            images=np.zeros((len(indices), 1, 56, 28), np.uint8),
            labels=np.array(indices) % 10,
            attributions=maps,
            **perturbed,
            predicted=np.zeros((count, len(indices)), int),
            confidence=np.full((count, len(indices)), 0.5),
            masks=np.ones((len(indices), 1, 56, 28), bool),
        )
        after = (
            None
            if asked.perturbation is None
            else contracts.PerturbedView(
                predicted=1, confidence=0.5, delta_l2=3.96, delta_linf=0.1, similarity={"cosine": 0.25, "ssim": None}
            )
        )
        panels = [
            contracts.Panel(
                run=run,
                index=index,
                label=index % 10,
                predicted=0,
                confidence=0.5,
                target=index % 10,
                leakage=0.25,
                leakage_share=None if zero else 0.4,
                zero=zero,
                perturbed=after,
            )
            for run in asked.runs
            for index in indices
        ]
        location = f"attributions/{asked.id}.npz"
        size = self.store.write(location, content)
        with self.database.write() as session:
            attributions.store(
                session,
                asked.id,
                panels=panels,
                limit=0.0 if zero else 1.5,
                data_hash="d" * 64,
                location=location,
                size=size,
                seconds=0.1,
            )
            tasks.finish(session, held, Status.SUCCEEDED, None)
        return asked


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@contextmanager
def served(home: Path, token: str = "") -> Iterator[LiveApi]:
    """An API of its own, with an empty database in that folder; where there is a token, it is asked for."""
    settings = Settings(home=home)
    migrate.upgrade(settings)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "--factory",
            "densitylab.backend.api.app:create_app",
            "--port",
            str(port),
            "--no-access-log",
        ],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "DENSITYLAB_HOME": str(home), "DENSITYLAB_API_TOKEN": token},
    )
    client = connect(url, token)
    deadline = time.monotonic() + 120  # on a machine that other tests use too
    while True:
        try:
            httpx.get(f"{url}/healthz").raise_for_status()
            break
        except httpx.TransportError:
            assert process.poll() is None and time.monotonic() < deadline, "the API did not start"
            time.sleep(0.1)
    database = Database(settings.database_url)
    yield LiveApi(url, client, database, ArtifactStore(settings.artifacts_url))
    database.close()
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="session")
def live_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with served(tmp_path_factory.mktemp("page")) as live:
        yield live


@pytest.fixture(scope="session")
def leakage_study(live_api: LiveApi) -> Study:
    """The study of leakage, finished."""
    return finished_leakage(live_api)


@pytest.fixture
def empty_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveApi]:
    """One without a single run, which the page talks to instead."""
    with served(tmp_path) as empty, forgotten():
        monkeypatch.setenv("DENSITYLAB_API_URL", empty.url)
        yield empty


@pytest.fixture
def guarded_api(tmp_path: Path) -> Iterator[LiveApi]:
    """One that asks for a token, which its client has."""
    with served(tmp_path, token="the administrator's") as guarded:
        yield guarded


@pytest.fixture
def dead_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page looks for its API where there is none."""
    monkeypatch.setenv("DENSITYLAB_API_URL", "http://127.0.0.1:9")
    with forgotten():
        yield


@contextmanager
def forgotten() -> Iterator[None]:
    """The page forgets its connection and the API's answers before and after; a later API may have the same port."""

    def forget() -> None:
        st.cache_resource.clear()
        st.cache_data.clear()

    forget()
    yield
    forget()


@pytest.fixture(scope="session", autouse=True)
def scanned_once() -> Iterator[None]:
    """Streamlit reads the metadata of all installed packages for each app that its driver starts; here once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


class Page:
    """The real app, driven without a browser."""

    def __init__(self) -> None:
        self.app = AppTest.from_file(str(ROOT / "frontend" / "streamlit_app.py"), default_timeout=30)

    def open(self, page: str, *, unfold: bool = True, **query: str) -> AppTest:
        """Open a page and, by a second run of it, all that is folded there."""
        self.app.query_params.clear()
        for name, value in query.items():
            self.app.query_params[name] = value
        if page == "home":
            return self.app.run()
        self.app.switch_page(f"app_pages/{page}.py").run()
        while unfold and (closed := self._closed()):
            for number in closed:
                self.app.session_state[number.split("-", 2)[2]] = True
            self.app.run()
        return self.app

    def _closed(self) -> list[str]:
        """Return the ids of closed expanders, and of closed tables behind an icon."""
        folds = [item.proto.id for item in self.app.expander if item.proto.id and not item.proto.expanded]
        tables = [item.proto.popover for item in self.app.get("popover") if item.proto.popover.label == TABLE_ICON]
        return folds + [item.id for item in tables if not item.open]


@pytest.fixture
def page(live_api: LiveApi, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("DENSITYLAB_API_URL", live_api.url)
    return Page()
