"""Waterbirds in two sizes side by side, from tiny files in the published layout, through the jobs."""

import io

import pytest
from PIL import Image

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.model_config import model_config
from densitylab.backend.shared.store import datasets, tasks
from densitylab.worker.jobs import prepare, train

NAME = "waterbird_complete95_forest2water2"


def photograph(level):
    file = io.BytesIO()
    Image.new("RGB", (50, 40), (level,) * 3).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def data_folder(tmp_path):
    folder = tmp_path / "data" / NAME
    (folder / "001.Bird").mkdir(parents=True)
    rows = ["img_id,img_filename,y,split,place,place_filename"]
    for number in range(24):
        name = f"001.Bird/Bird_{number}.jpg"
        rows.append(f"{number},{name},{number % 2},{number // 8},{number // 2 % 2},/f/{number}.jpg")
        (folder / name).write_bytes(photograph(10 * number))
    (folder / "metadata.csv").write_text("\n".join(rows))
    return tmp_path / "data"


def test_two_sizes_lie_side_by_side_and_runs_are_of_their_own(lab, data_folder):
    for size in (16, 24):
        params = {"image_size": size, "check_sums": False}
        with lab.database.write() as session:
            task = tasks.create(session, TaskKind.PREPARE, payload={"key": "waterbirds", "params": params})
            datasets.set_task(session, "waterbirds", params, task.id)
        prepare.run(task.id)
    with lab.database.read() as session:
        assert [row.ready for row in datasets.variants(session, "waterbirds")] == [True, True]
    for size in (16, 24):
        run_id, task_id = lab.launch(
            dataset={"key": "waterbirds", "params": {"image_size": size, "check_sums": False}},
            model={"key": "cnn", "params": {"width": 2}},
            train_samples=None,
            evaluations=[],
        )
        train.run(task_id)
        run = lab.run(run_id)
        assert run.status == Status.SUCCEEDED, run.error
        assert model_config(Catalog.built_in(), run).image_size == [size, size]
        hidden = next(weight for weight in lab.weights(run_id).values() if weight.ndim == 2)
        assert hidden.shape[1] == 4 * (size // 4) ** 2
