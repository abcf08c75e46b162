"""A state folder with a database and files, for the tests of the jobs."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from backend.shared import contracts
from backend.shared.artifacts import ArtifactStore
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.specs import plan
from backend.shared.store import evaluations, experiments, logs, metrics, runs
from backend.shared.tables import Base
from worker import shutdown

SMALL = {
    "model": {"key": "mlp", "params": {"hidden": 32}}, "epochs": 2, "train_samples": 600, "device": "cpu",
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
        with self.database.write() as session:
            experiment = experiments.create(session, name="test", notes="", tags=[], request={},
                                            planned=plan(SMALL | changes, None), provenance={"code": "test"})
            run_id = experiments.run_ids(session, experiment.id)[0]
            return run_id, runs.train_task(session, run_id)

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
            return {(item.name, point.step, point.value) for item in metrics.read(session, run_id)
                    for point in item.points if item.name != "throughput"}

    def checkpoint(self, run_id: int):
        with self.database.read() as session:
            return runs.artifact(session, run_id, "checkpoint.pt")

    def weights(self, run_id: int) -> dict[str, torch.Tensor]:
        data = self.artifacts.read(self.checkpoint(run_id).location)
        return torch.load(io.BytesIO(data), weights_only=True)["state"]["model"]


@pytest.fixture(autouse=True)
def one_thread_and_seed_0():
    """Sums of floats come out the same whatever the machine and whichever test went before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")  # prepared once for all


@contextmanager
def _opened(home: Path, data_folder: Path) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENSITYLAB_HOME", str(home))
        patch.setenv("DENSITYLAB_DATA_DIR", str(data_folder))
        patch.setenv("DENSITYLAB_THREADS", "1")
        lab = Lab()
        yield lab
        shutdown.tell(False)
        lab.database.close()


@pytest.fixture
def lab(tmp_path, data_folder):
    """A lab of this test's own."""
    with _opened(tmp_path / "state", data_folder) as lab:
        yield lab


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory, data_folder):
    """One for all the tests of a file that leave it as it was, or only add to it."""
    with _opened(tmp_path_factory.mktemp("shared") / "state", data_folder) as lab:
        yield lab
