"""A state folder with a database and files, for tests of jobs."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from densitylab.backend.services import initial_weights
from densitylab.backend.shared import contracts
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.specs import plan
from densitylab.backend.shared.store import (
    evaluations,
    experiments,
    logs,
    metrics,
    registered_datasets,
    run_artifacts,
    runs,
)
from densitylab.backend.shared.tables import Base
from densitylab.worker.runtime import stop_signal

SMALL = {
    "model": {"key": "mlp", "params": {"hidden": 32}},
    "epochs": 2,
    "train_samples": 600,
    "device": "cpu",
    "evaluations": [{"key": "leakage"}, {"key": "pgd_linf", "params": {"epsilons": [0.1], "steps": 2, "samples": 40}}],
}


class Lab:
    """A state folder of its own."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.settings.home.mkdir(parents=True)
        self.database = Database(self.settings.database_url)
        self.artifacts = ArtifactStore(self.settings.artifacts_url)
        Base.metadata.create_all(self.database.engine)

    def launch(self, **changes) -> tuple[int, int]:
        """(run, train task) of a new run."""
        (launched,) = self.launch_sweep(None, **changes).items()
        return launched

    def launch_sweep(self, sweep: dict | list | None, **changes) -> dict[int, int]:
        """Train tasks of the runs of a new experiment."""
        with self.database.write() as session:
            catalog = registered_datasets.with_registered(session, Catalog.built_in())
            planned = plan(catalog, SMALL | changes, sweep, initial_weights.inherit(session, catalog))
            experiment = experiments.create(
                session,
                name="test",
                notes="",
                tags=[],
                request={},
                planned=initial_weights.with_sources(session, catalog, planned),
                provenance={"code": "test"},
            )
            return {run_id: runs.train_task(session, run_id) for run_id in experiments.run_ids(session, experiment.id)}

    def run(self, run_id: int) -> contracts.Run:
        with self.database.read() as session:
            return runs.get(session, run_id)

    def evaluations(self, run_id: int) -> dict[str, contracts.Evaluation]:
        with self.database.read() as session:
            return {item.name: item for item in evaluations.of_run(session, run_id)}

    def log(self, run_id: int) -> str:
        with self.database.read() as session:
            return "\n".join(f"{line.level}: {line.text}" for line in logs.read(session, run_id))

    def rows(self, run_id: int) -> set[tuple[str, int, float]]:
        with self.database.read() as session:
            return {
                (item.name, point.step, point.value)
                for item in metrics.read(session, run_id)
                for point in item.points
                if item.name != "throughput"
            }

    def checkpoint(self, run_id: int):
        with self.database.read() as session:
            return run_artifacts.artifact(session, run_id, "checkpoint.pt")

    def weights(self, run_id: int) -> dict[str, torch.Tensor]:
        data = self.artifacts.read(self.checkpoint(run_id).location)
        return torch.load(io.BytesIO(data), weights_only=True)["state"]["model"]


@pytest.fixture(autouse=True)
def one_thread_and_seed_0():
    """One thread, so that sums of floats do not depend on the machine or on earlier tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")  # prepared once for all tests


@contextmanager
def _opened(home: Path, data_folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Lab]:
    patch.setenv("DENSITYLAB_HOME", str(home))
    patch.setenv("DENSITYLAB_DATA_DIR", str(data_folder))
    patch.setenv("DENSITYLAB_THREADS", "1")
    lab = Lab()
    yield lab
    stop_signal.request(False)
    lab.database.close()


@pytest.fixture
def lab(tmp_path, data_folder, monkeypatch):
    """A lab for one test, whose variables are undone with those that the test sets."""
    with _opened(tmp_path / "state", data_folder, monkeypatch) as lab:
        yield lab


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory, data_folder):
    """A lab shared by the tests of a file, which do not change it or only add to it."""
    home = tmp_path_factory.mktemp("shared") / "state"
    with pytest.MonkeyPatch.context() as patch, _opened(home, data_folder, patch) as lab:
        yield lab
