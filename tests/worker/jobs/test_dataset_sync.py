"""Two hosts with their own data folders and one store: one registers a data set, the other trains on the same bits."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import TaskKind
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import datasets, registered_datasets, tasks
from densitylab.backend.shared.tables import Base
from densitylab.worker.datasets import npy_store
from densitylab.worker.errors import Interrupted
from densitylab.worker.jobs import dataset_sync, register
from densitylab.worker.jobs.context import opened
from densitylab.worker.jobs.data import open_data
from densitylab.worker.jobs.failures import JobFailed


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
    """Run the next jobs as on the host of that name."""
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


def register_birds(on, seed):
    birds(on("a"), seed)
    payload = {
        "label": "Birds",
        "key": "birds",
        "path": "birds",
        "upload": None,
        "image_size": None,
        "mask_marks": "object",
        "data_seed": 0,
    }
    with on.database.write() as session:
        task = tasks.create(session, TaskKind.REGISTER, payload=payload).id
    register.run(task)
    with on.database.read() as session:
        assert tasks.get(session, task).error is None


def opened_data(should_stop=nobody_stops):
    with opened() as context:
        return open_data(context, "birds", {}, progress=lambda _: None, should_stop=should_stop)


def test_a_data_set_that_one_host_registers_is_fetched_by_another(on):
    register_birds(on, seed=0)
    first = opened_data()
    folder = on("b")
    second = opened_data()
    assert second.root.is_relative_to(folder) and second.info == first.info
    for split in npy_store.SPLITS:
        assert (second.load(split).images == first.load(split).images).all()
        assert (second.load(split).labels == first.load(split).labels).all()


def test_a_fetch_that_is_stopped_leaves_nothing(on):
    register_birds(on, seed=0)
    folder = on("b")
    with pytest.raises(Interrupted):
        opened_data(should_stop=lambda: True)
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_files_of_a_deleted_data_set_with_this_name_are_replaced(on):
    register_birds(on, seed=0)
    on("b")
    earlier = opened_data()
    with on.database.write() as session:  # as deleting it does; host b is offline
        datasets.mark_removing(session, "birds")
        datasets.clear(session, "birds")
        registered_datasets.remove(session, "birds")
    ArtifactStore(Settings().artifacts_url).delete_tree("datasets/birds")
    shutil.rmtree(on("a") / "prepared")
    register_birds(on, seed=1)
    on("b")
    later = opened_data()
    assert later.root == earlier.root and later.info.data_hash != earlier.info.data_hash
    with on.database.read() as session:
        assert datasets.get(session, "birds", {}).data_hash == later.info.data_hash


def test_nothing_is_copied_with_a_local_store(on, monkeypatch, tmp_path):
    monkeypatch.setenv("DENSITYLAB_ARTIFACTS_URL", str(tmp_path / "folder"))
    register_birds(on, seed=0)
    assert not list((tmp_path / "folder").rglob("manifest.json"))
    with opened() as context:
        assert dataset_sync.fetch(context, "birds", {}, on("b"), nobody_stops) is None
    with pytest.raises(JobFailed, match="no longer on this machine"):
        opened_data()


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_a_damaged_copy_is_fetched_again(on):
    register_birds(on, seed=0)
    on("b")
    expected = opened_data().load("train").images.clone()
    file = opened_data().root / "train" / "images.npy"
    file.write_bytes(flip(file.read_bytes()))
    assert (opened_data().load("train").images == expected).all()


def test_a_damaged_copy_in_the_store_is_refused_and_the_host_keeps_what_it_has(on):
    register_birds(on, seed=0)
    store = ArtifactStore(Settings().artifacts_url)
    (location,) = [name for name in store.locations("datasets/birds") if name.endswith("train/images.npy")]
    store.write(location, flip(store.read(location)))
    file = opened_data().root / "train" / "labels.npy"
    file.write_bytes(flip(file.read_bytes()))
    with pytest.raises(JobFailed, match="or are damaged: remove the data set, then register it again"):
        opened_data().load("train")
    assert len(opened_data().load("test")) > 0
    assert not list(file.parents[2].glob(".*"))
    on("b")
    with pytest.raises(JobFailed, match="or are damaged"):
        opened_data()
