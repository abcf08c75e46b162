"""`densitylab import`, as a process against a served API; the tests write what a worker would."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from densitylab.backend.shared.contracts import Misfit, Misfits, Status, TaskKind
from tests.frontend.command_line.test_command_line import process, started

MISFITS = Misfits(
    total=62,
    items=[
        Misfit(
            problem="missing",
            name="conv.weight",
            network_shape=[4, 1, 3, 3],
            nearest="convs.weight",
            nearest_shape=[4, 3, 3, 3],
        ),
        Misfit(problem="wrong_shape", name="fc.weight", file_shape=[1000, 4], network_shape=[10, 4]),
    ],
)
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    (tmp_path / "stranger.pt").write_bytes(b"weights")
    return str(tmp_path / "stranger.pt")


def logged(live_api: Any, **fields: Any) -> int:
    body = {"dataset": {"key": "blockmnist"}, **fields}
    return int(httpx.post(f"{live_api.url}/api/v1/runs", json=body).raise_for_status().json()["id"])


def imported(live_api: Any, *arguments: str) -> tuple[int, str, str, dict[str, Any]]:
    """Return exit code, output, errors and the request of an import, after which accuracy is evaluated."""
    command = started("import", *arguments, url=live_api.url)
    assert command.stdout is not None
    assert command.stdout.readline()  # the task is there
    held = live_api.newest_task(TaskKind.IMPORT)
    live_api.measure(live_api.import_model(held=held), accuracy__accuracy=0.9173)
    output, errors = command.communicate(timeout=120)
    return command.returncode, output, errors, held.payload["request"]


def test_a_file_becomes_a_run_with_its_accuracy_alone(live_api: Any, weights: str):
    code, output, errors, request = imported(
        live_api, weights, "--dataset", "blockmnist", "--model", "cnn", "--param", "width=16", "--normalization", "0.5"
    )
    assert (code, errors) == (0, "")
    assert "test accuracy: 0.917" in output and "stranger.pt, PyTorch checkpoint, prefix 'module.' removed" in output
    assert request["model"] == {"key": "cnn", "params": {"width": 16}} and request["run"] is None
    assert request["normalization"] == "half" and request["evaluations"] == []


@pytest.mark.parametrize("ended", [True, False])
def test_weights_of_a_logged_run_take_its_data_set_and_network(live_api: Any, weights: str, ended: bool):
    run = logged(live_api, model={"key": "cnn", "params": {"width": 16}})
    if ended:
        httpx.post(f"{live_api.url}/api/v1/runs/{run}/finish", json={}).raise_for_status()
        code, output, errors, request = imported(live_api, weights, "--run", str(run))
        assert "test accuracy: 0.917" in output
    else:
        command = started("import", weights, "--run", str(run), url=live_api.url)
        assert command.stdout is not None and command.stdout.readline()
        held = live_api.newest_task(TaskKind.IMPORT)
        live_api.import_model(held=held)
        output, errors = command.communicate(timeout=120)
        code, request = command.returncode, held.payload["request"]
        assert f"Run {run} is running: its evaluations follow once it has ended." in output
    assert (code, errors) == (0, "") and f"Run {run} of experiment" in output
    assert (request["run"], request["dataset"]["key"], request["model"]["key"]) == (run, "blockmnist", "cnn")
    assert request["model"]["params"]["width"] == 16
    assert live_api.client.run(run).status is (Status.SUCCEEDED if ended else Status.RUNNING)


def test_weights_that_do_not_fit_are_lines(live_api: Any, weights: str):
    command = started("import", weights, "--dataset", "blockmnist", "--model", "cnn", url=live_api.url)
    assert command.stdout is not None and command.stdout.readline()
    held = live_api.newest_task(TaskKind.IMPORT)
    live_api.fail_import(held, "stranger.pt was not imported. 2 weights do not fit.", MISFITS)
    _, errors = command.communicate(timeout=120)
    assert command.returncode == 1 and "2 weights do not fit." in errors and "Traceback" not in errors
    lines = [" ".join(line.split()) for line in errors.splitlines()]
    assert "missing in the file conv.weight — 4 × 1 × 3 × 3 convs.weight (4 × 3 × 3 × 3)" in lines
    assert "another shape fc.weight 1000 × 4 10 × 4" in lines
    assert errors.endswith("60 further weights not listed.\n")


def test_what_is_missing_or_refused_is_told(live_api: Any, weights: str):
    assert process("import", weights, "--model", "cnn", url=live_api.url) == (
        2,
        "",
        "--dataset: expected a key of the catalog.\n",
    )
    for option in ("--param", "--dataset-param"):
        given = ("--dataset", "blockmnist", "--model", "cnn", option, "width")
        told = f"{option}: expected NAME=VALUE; got 'width'.\n"
        assert process("import", weights, *given, url=live_api.url) == (2, "", told)
    run = logged(live_api)  # names no network
    code, output, errors = process("import", weights, "--run", str(run), url=live_api.url)
    assert (code, output, errors) == (2, "", "--model: expected a key of the catalog.\n")
    code, _, errors = process(
        "import", weights, "--run", str(run), "--model", "cnn", "--normalization", "imagenet", url=live_api.url
    )
    assert code == 2 and "/normalization: " in errors and "Traceback" not in errors
    code, _, errors = process("import", weights, "--run", "99999", "--model", "cnn", url=live_api.url)
    assert code == 1 and "run 99999 does not exist" in errors
