"""Models to take away: requests for files, config.json, and the folder of an export."""

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient

from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.contracts import ExportFormat, ModelConfig
from densitylab.backend.shared.store import events, exports, run_artifacts
from tests.backend.conftest import Work

SPEC = {"model": {"key": "mlp", "params": {"hidden": 16}}, "lambda_": 0.3, "epochs": 2, "seed": 3}


def store_files(work: Work, run_id: int, names: Sequence[str] = ("model.safetensors",)) -> dict[str, bytes]:
    """Store exported files of the run's checkpoint, as the worker does; return their contents."""
    contents = {name: f"content of {name}".encode() * 1000 for name in names}
    with work.system.database.write() as session:
        checkpoint = run_artifacts.artifact(session, run_id, run_artifacts.CHECKPOINT)
        assert checkpoint is not None
        for name, content in contents.items():
            location = checked_location(f"{exports.stem(run_id, checkpoint.location)}-1.{name}", content)
            size = work.system.store.write(location, content)
            run_artifacts.put_artifact(
                session, run_id, name, location=location, size=size, media_type="application/octet-stream"
            )
    return contents


def folder_of(client: TestClient, run_id: int) -> dict[str, bytes]:
    answer = client.get(f"/api/v1/runs/{run_id}/export.zip")
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name.removeprefix(f"run-{run_id}/"): archive.read(name) for name in archive.namelist()}


def test_a_request_is_a_task_of_the_run(client: TestClient, work: Work):
    (run_id,) = work.launch(SPEC)
    assert client.post(f"/api/v1/runs/{run_id}/exports", json={}).status_code == 409  # nothing trained yet
    work.train(run_id)
    answer = client.post(f"/api/v1/runs/{run_id}/exports", json={"formats": ["onnx", "safetensors", "onnx"]})
    task = answer.json()
    assert answer.status_code == 202 and answer.headers["Location"] == f"/api/v1/tasks/{task['id']}"
    assert (task["kind"], task["run"], task["status"]) == ("export", run_id, "queued")
    again = client.post(f"/api/v1/runs/{run_id}/exports", json={"formats": ["safetensors"]})
    assert again.json()["id"] == task["id"]  # it is on its way
    other = client.post(f"/api/v1/runs/{run_id}/exports", json={})
    assert other.json()["id"] != task["id"]
    assert client.delete(f"/api/v1/runs/{run_id}").status_code == 409
    claim = work.claim(task["id"])
    assert claim.payload == {"formats": ["onnx", "safetensors"]}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"formats": []}, "/formats"), ({"formats": ["pickle"]}, "/formats/0"), ({"format": "onnx"}, "/format")],
)
def test_wrong_requests_name_the_field(client: TestClient, work: Work, body: dict, pointer: str):
    (run_id,) = work.launch(SPEC)
    work.train(run_id)
    answer = client.post(f"/api/v1/runs/{run_id}/exports", json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert client.post("/api/v1/runs/999/exports", json={}).status_code == 404


def test_an_export_measures_nothing(client: TestClient, work: Work):
    (run_id,) = work.launch(SPEC | {"evaluations": []})
    work.train(run_id)
    work.finish_evaluations(run_id)

    def ends() -> list[str]:
        with work.system.database.read() as session:
            return [row.status for row in events.since(session, 0)]

    before = ends()
    assert before.count("measured") == before.count("finished") == 1
    task = client.post(f"/api/v1/runs/{run_id}/exports", json={}).json()["id"]
    claim = work.claim(task)
    assert client.get(f"/api/v1/runs/{run_id}").json()["measured"]
    work.end(claim)
    assert ends() == before


def test_an_evaluation_that_ends_during_an_export_completes_the_run(client: TestClient, work: Work):
    (run_id,) = work.launch(SPEC | {"evaluations": []})
    work.train(run_id)
    client.post(f"/api/v1/runs/{run_id}/exports", json={})
    work.finish_evaluations(run_id)
    with work.system.database.read() as session:
        assert [row.status for row in events.since(session, 0)].count("measured") == 1


def test_the_folder_holds_all_that_is_stored(client: TestClient, work: Work):
    (run_id,) = work.launch(SPEC)
    work.train(run_id)
    work.finish_evaluations(run_id)
    refused = client.get(f"/api/v1/runs/{run_id}/export.zip")
    assert refused.status_code == 409 and f"POST /api/v1/runs/{run_id}/exports" in refused.json()["detail"]
    assert client.get(f"/api/v1/runs/{run_id}/config.json").json()["weights_sha256"] is None
    stored = store_files(work, run_id, [name.file_name for name in ExportFormat])
    files = folder_of(client, run_id)
    assert set(files) == {"README.md", "config.json", "spec.yaml", *stored}
    assert all(files[name] == content for name, content in stored.items())
    config = ModelConfig.model_validate_json(files["config.json"])
    assert config.model_dump(mode="json") == client.get(f"/api/v1/runs/{run_id}/config.json").json()
    assert config.weights_sha256 == hashlib.sha256(stored["model.safetensors"]).hexdigest()
    assert (config.channels, config.image_size, config.num_classes) == (1, [56, 28], 10)
    assert config.model.params["hidden"] == 16 and config.plugin is None


def test_the_spec_launches_an_equal_run(client: TestClient, work: Work):
    work.prepare()
    (run_id,) = work.launch(SPEC)
    work.train(run_id)
    store_files(work, run_id)
    request = yaml.safe_load(folder_of(client, run_id)["spec.yaml"])
    launched = client.post("/api/v1/experiments", json=request)
    assert launched.status_code == 202, launched.text
    (again,) = launched.json()["runs"]
    first, second = (client.get(f"/api/v1/runs/{number}").json() for number in (run_id, again))
    assert first["provenance"]["spec_hash"] == second["provenance"]["spec_hash"]


def test_the_card_has_metadata_results_and_hashes(client: TestClient, work: Work):
    (run_id,) = work.launch(SPEC | {"evaluations": [{"key": "leakage"}]})
    work.train(run_id)
    work.finish_evaluations(run_id, accuracy=0.875)
    stored = store_files(work, run_id)
    card = folder_of(client, run_id)["README.md"].decode()
    _, front, body = card.split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["pipeline_tag"] == "image-classification" and metadata["library_name"] == "densitylab"
    (result,) = metadata["model-index"][0]["results"]
    (metric,) = [item for item in result["metrics"] if item["type"] == "accuracy"]
    assert metric["value"] == 0.875 and "n = 10" in metric["name"] and "0.1 to 1" in metric["name"]
    assert "| 0.875 | 0.1 to 1 | 10 |" in body and "λ = 0.3" in body
    assert hashlib.sha256(stored["model.safetensors"]).hexdigest() in body
    assert 'densitylab.load_model(".")' in body and "images = torch.rand(4, 1, 56, 28)" in body


def test_files_of_an_earlier_checkpoint_are_not_handed_out(client: TestClient, work: Work):
    (run_id,) = work.launch(SPEC)
    held = work.start(run_id)
    work.checkpoint(held, step=100)
    store_files(work, run_id)
    folder_of(client, run_id)
    work.checkpoint(held, step=200, content=b"other weights")
    assert client.get(f"/api/v1/runs/{run_id}/export.zip").status_code == 409


def test_a_damaged_file_is_not_handed_out(client: TestClient, work: Work):
    (run_id,) = work.launch(SPEC)
    work.train(run_id)
    store_files(work, run_id)
    with work.system.database.read() as session:
        location = exports.present(session, run_id)[ExportFormat.SAFETENSORS].location
    work.system.store.write(location, b"flipped")
    refused = client.get(f"/api/v1/runs/{run_id}/export.zip")
    assert refused.status_code == 409 and "export it again" in refused.json()["detail"]


def test_deleting_a_run_deletes_its_files(client: TestClient, work: Work):
    (run_id,) = work.launch(SPEC)
    work.train(run_id)
    work.finish_evaluations(run_id)
    stored = store_files(work, run_id)
    freed = client.delete(f"/api/v1/runs/{run_id}").json()["bytes"]
    assert freed >= len(stored["model.safetensors"])
    assert work.system.store.locations(f"runs/{run_id}") == []


def test_the_archive_opens_in_a_program_for_zip_files(client: TestClient, work: Work, tmp_path: Path):
    (run_id,) = work.launch(SPEC)
    work.train(run_id)
    stored = store_files(work, run_id)
    (tmp_path / "run.zip").write_bytes(client.get(f"/api/v1/runs/{run_id}/export.zip").content)
    shutil.unpack_archive(tmp_path / "run.zip", tmp_path)
    folder = tmp_path / f"run-{run_id}"
    assert (folder / "model.safetensors").read_bytes() == stored["model.safetensors"]
    assert json.loads((folder / "config.json").read_text())["run"] == run_id
