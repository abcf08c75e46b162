"""Two hosts with data folders of their own and one store: what one registers, the other trains on, bit for bit."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from backend.shared.artifacts import ArtifactStore
from backend.shared.catalog import mirror_registered
from backend.shared.contracts import TaskKind
from backend.shared.database import Database
from backend.shared.settings import Settings
from backend.shared.store import datasets, registered, tasks
from backend.shared.tables import Base
from worker.datasets import compact
from worker.jobs import register, shared_forms
from worker.jobs.context import opened
from worker.jobs.data import open_data
from worker.jobs.failures import JobFailed
from worker.stopped import Stopped


def nobody_stops() -> bool:
    return False


def birds(folder, seed):
    rng = np.random.default_rng(seed)
    for label in ("land", "water"):
        (folder / "birds" / label).mkdir(parents=True, exist_ok=True)
        for number in range(12):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")
            (folder / "birds" / label / f"{number}.png").write_bytes(file.getvalue())


@pytest.fixture
def on(tmp_path, monkeypatch, request):
    """Makes the next jobs run as on the host of that name."""
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / "shared"))
    monkeypatch.setenv("DENSITYLAB_ARTIFACTS_URL", f"memory://{request.node.name}")
    (tmp_path / "shared").mkdir()
    database = Database(Settings().database_url)
    Base.metadata.create_all(database.engine)

    def host(name):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv("DENSITYLAB_DATA_DIR", str(tmp_path / name))
        return tmp_path / name

    host.database = database
    yield host
    database.close()
    ArtifactStore(Settings().artifacts_url).delete_tree("datasets")
    mirror_registered(())


def register_birds(on, seed):
    birds(on("a"), seed)
    payload = {"label": "Birds", "key": "birds", "path": "birds", "upload": None, "image_size": None,
               "mask_marks": "object", "data_seed": 0}
    with on.database.write() as session:
        task = tasks.create(session, TaskKind.REGISTER, payload=payload).id
    register.run(task)
    with on.database.read() as session:
        assert tasks.get(session, task).error is None
        mirror_registered(registered.entries(session))


def opened_data(should_stop=nobody_stops):
    with opened() as context:
        return open_data(context, "birds", {}, progress=lambda _: None, should_stop=should_stop)


def test_what_one_host_registers_another_fetches(on):
    register_birds(on, seed=0)
    first = opened_data()
    folder = on("b")
    second = opened_data()
    assert second.root.is_relative_to(folder) and second.info == first.info
    for split in compact.SPLITS:
        assert (second.load(split).images == first.load(split).images).all()
        assert (second.load(split).labels == first.load(split).labels).all()


def test_a_fetch_that_is_stopped_leaves_nothing(on):
    register_birds(on, seed=0)
    folder = on("b")
    with pytest.raises(Stopped):
        opened_data(should_stop=lambda: True)
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_form_of_an_earlier_data_set_with_this_name_is_replaced(on):
    register_birds(on, seed=0)
    on("b")
    earlier = opened_data()
    with on.database.write() as session:  # as its removal does; host b is away
        datasets.mark_removing(session, "birds")
        datasets.clear(session, "birds")
        registered.remove(session, "birds")
    ArtifactStore(Settings().artifacts_url).delete_tree("datasets/birds")
    shutil.rmtree(on("a") / "prepared")
    register_birds(on, seed=1)
    on("b")
    later = opened_data()
    assert later.root == earlier.root and later.info.data_hash != earlier.info.data_hash
    with on.database.read() as session:
        assert datasets.get(session, "birds", {}).data_hash == later.info.data_hash


def test_where_files_stay_on_one_machine_nothing_is_copied(on, monkeypatch, tmp_path):
    monkeypatch.setenv("DENSITYLAB_ARTIFACTS_URL", str(tmp_path / "folder"))
    register_birds(on, seed=0)
    assert not list((tmp_path / "folder").rglob("manifest.json"))
    with opened() as context:
        assert shared_forms.fetch(context, "birds", {}, on("b"), nobody_stops) is None
    with pytest.raises(JobFailed, match="not on this machine any more"):
        opened_data()
