"""The command line, as processes and against a served API."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from densitylab.backend.shared.contracts import EvaluationSpec, RunPatch, Status
from densitylab.cli import main
from densitylab.frontend.report import experiment_report as report_module

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(240)
SPEC = (
    "name: from a file\nspec:\n  optimizer: {key: adam, params: {lr: 1e-3}}\n  evaluations: []\n"
    "sweep:\n  lambda_: [0, 1e-1]\n"
)


def started(*arguments: str, url: str, token: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "DENSITYLAB_API_URL": url, "DENSITYLAB_API_TOKEN": token, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "densitylab", *arguments],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell ignores it for what it runs behind
    )


def process(*arguments: str, url: str, token: str = "") -> tuple[int, str, str]:
    """Exit code, output and errors of `densitylab`."""
    command = started(*arguments, url=url, token=token)
    output, errors = command.communicate(timeout=120)
    return command.returncode, output, errors


@pytest.fixture
def told(live_api, capsys) -> Callable[..., tuple[int, str, str]]:
    """The same within this process."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--url", live_api.url])
        caught = capsys.readouterr()
        return code, caught.out, caught.err

    return call


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path / "spec.yaml"


# ---- launch ----


def test_a_file_is_launched(live_api, spec):
    code, output, errors = process("launch", str(spec), url=live_api.url)
    assert (code, errors) == (0, "")
    newest = live_api.client.experiments(limit=1).items[0]
    assert output == f"Experiment {newest.id} (from a file): 2 runs, id {newest.runs[0]}, {newest.runs[1]}\n"
    runs = live_api.client.runs_of(newest.id)
    # 1e-3 is a number, also to a reader of YAML 1.1
    assert [(run.spec.lambda_, run.spec.optimizer.params["lr"]) for run in runs] == [(0.0, 0.001), (0.1, 0.001)]


def test_what_the_api_refuses_is_told_by_field(live_api, tmp_path: Path):
    path = tmp_path / "bad.json"
    path.write_text('{"spec": {"epochs": 0, "model": {"key": "mlpp"}}, "sweep": {"lambda_": [0, -1]}, "nmae": "x"}')
    count = len(live_api.client.experiments(limit=200).items)
    code, output, errors = process("launch", str(path), url=live_api.url)
    assert (code, output) == (2, "")
    assert "/nmae: " in errors
    path.write_text('{"spec": {"epochs": 0, "lambda_": -1, "batch_size": 1.5}}')
    code, output, errors = process("launch", str(path), url=live_api.url)
    assert (code, output) == (2, "")
    assert all(errors.count(f"/spec/{field}: ") == 1 for field in ("epochs", "lambda_", "batch_size"))
    assert len(live_api.client.experiments(limit=200).items) == count


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.yaml", "spec: {epochs: [}", "line 1: this is not YAML"),
        ("a.json", '{"spec":\n{"epochs": }}', "line 2: this is not JSON"),
        ("a.yaml", "- 1\n- 2", "expected a mapping"),
        ("a.yaml", "", "expected a mapping"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "not YAML"),
        ("absent.yaml", None, "No such file"),
        ("a.yaml", "spec: {lambda_: 1e-400}", "1e-400 rounds to 0"),
        ("a.json", '{"spec": {"lambda_": 1e-400}}', "1e-400 rounds to 0"),
    ],
)
def test_a_file_that_is_no_spec(told, tmp_path: Path, name: str, content: str | None, sentence: str):
    if content is not None:
        (tmp_path / name).write_text(content)
    code, output, errors = told("launch", str(tmp_path / name))
    assert (code, output) == (2, "") and sentence in errors and name in errors


def test_a_dry_run_tells_the_price_and_launches_nothing(live_api, told, spec):
    count = len(live_api.client.experiments(limit=200).items)
    code, output, _ = told("launch", str(spec), "--dry-run")
    assert code == 0 and output.startswith("runs      2, ") and "broker: " in output
    code, output, _ = told("launch", str(spec), "--dry-run", "--json")
    assert json.loads(output)["runs"] == 2
    assert len(live_api.client.experiments(limit=200).items) == count


def test_the_same_key_launches_once(live_api, told, spec):
    first = json.loads(told("launch", str(spec), "--key", "command-line", "--json")[1])
    again = json.loads(told("launch", str(spec), "--key", "command-line", "--json")[1])
    assert first["id"] == again["id"]
    code, _, errors = told("launch", str(spec), "--key", "command-line", "--name", "another")
    assert code == 1 and "/header/Idempotency-Key" in errors


def test_ctrl_c_while_watching_says_that_the_runs_go_on(live_api, spec):
    command = started("launch", str(spec), "--watch", url=live_api.url)
    assert command.stdout is not None and command.stdout.readline().startswith("Experiment ")
    newest = live_api.client.experiments(limit=1).items[0]
    with pytest.raises(subprocess.TimeoutExpired):  # it watches
        command.wait(timeout=3)
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=30)
    assert command.returncode == 130 and "Traceback" not in errors
    assert "The runs go on." in errors and f"densitylab wait --experiment {newest.id}" in errors
    assert {run.status for run in live_api.client.runs_of(newest.id)} == {Status.QUEUED}


# ---- the API is not as it should be ----


def test_an_api_that_is_down():
    code, output, errors = process("runs", url="http://127.0.0.1:9")
    assert (code, output) == (1, "") and "http://127.0.0.1:9 does not answer" in errors and "Traceback" not in errors


def test_tokens(guarded_api):
    """One way in: the environment. A wrong one is told, one that is given out works until it is revoked."""
    api, full = guarded_api, "the administrator's"
    code, output, errors = process("runs", url=api.url, token="wrong")
    assert (code, output) == (1, "") and "DENSITYLAB_API_TOKEN" in errors and "wrong" not in errors
    code, token, errors = process("token", "create", "ada", "--read-only", url=api.url, token=full)
    assert code == 0 and "ada, read-only" in errors and token.strip() not in errors
    token = token.strip()
    assert process("runs", url=api.url, token=token) == (0, "No run matches.\n", "")
    code, _, errors = process("token", "revoke", "1", url=api.url, token=token)
    assert code == 1 and "read-only" in errors
    code, output, _ = process("token", "revoke", "1", url=api.url, token=full)
    assert (code, output) == (0, "Token 1 of ada is revoked.\n")
    code, output, _ = process("token", "list", url=api.url, token=full)
    assert code == 0 and output.splitlines()[2].split()[:3] == ["1", "ada", "read-only"] and token not in output
    assert process("runs", url=api.url, token=token)[0] == 1


def test_no_option_takes_a_token(capsys):
    for arguments in (["runs", "--help"], ["launch", "--help"], ["token", "create", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "--token" not in capsys.readouterr().out


# ---- runs ----


def test_runs_as_table_json_and_csv(live_api, told):
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0.25, 0.5, 4]})
    for run_id, accuracy in zip(run_ids, (0.7, 0.9, 0.8), strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy)
    experiment = str(live_api.client.run(run_ids[0]).experiment)
    chosen = ("runs", "--experiment", experiment)
    code, output, _ = told(*chosen, "--sort=-results.accuracy.accuracy")
    head, _, *rows = output.splitlines()
    assert code == 0 and head.split()[-1] == "accuracy.accuracy"
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [
        (str(run_ids[1]), "0.900"),
        (str(run_ids[2]), "0.800"),
        (str(run_ids[0]), "0.700"),
    ]
    assert len({len(line) for line in output.splitlines()}) == 1  # columns stand below each other
    found = json.loads(told(*chosen, "--json", "--limit", "2", "--sort", "lambda_")[1])
    assert [item["spec"]["lambda_"] for item in found] == [0.25, 0.5]
    table = list(csv.DictReader(io.StringIO(told(*chosen, "--csv", "--sort", "id")[1])))
    assert [row["id"] for row in table] == [str(run_id) for run_id in run_ids]
    assert [row["results.accuracy.accuracy.value"] for row in table] == ["0.7", "0.9", "0.8"]
    assert told(*chosen, "--status", "failed")[1] == "No run matches.\n"
    several = told(*chosen, "--json", "--status", "failed", "--status", "succeeded", "--seed", "0", "--seed", "9")[1]
    assert len(json.loads(several)) == 3
    good = told(*chosen, "--json", "--where", "results.accuracy.accuracy>=0.8", "--where", "spec.lambda_<1")[1]
    assert [item["id"] for item in json.loads(good)] == [run_ids[1]]
    assert "name" not in head.split()
    live_api.client.change_run(run_ids[2], RunPatch(name="strong smoothing"))
    named = told(*chosen, "--name", "strong smoothing")[1].splitlines()
    assert len(named) == 3 and named[2].split()[2:5] == ["strong", "smoothing", "succeeded"]
    assert "name" in told("show", str(run_ids[2]))[1] and "name" not in told("show", str(run_ids[1]))[1]
    code, _, errors = told("runs", "--sort", "nonsense")
    assert code == 2 and "/query/sort" in errors
    code, _, errors = told("runs", "--where", "spec.epoch>1")
    assert code == 2 and "/query/where/0" in errors and "did you mean epochs?" in errors


def test_a_run_without_effect_of_its_weight_is_flagged(live_api, told):
    (run,) = live_api.launch({"lambda_": 1e-40, "evaluations": []})
    experiment = str(live_api.client.run(run).experiment)
    table = told("runs", "--experiment", experiment)[1].splitlines()
    assert table[0].endswith("flags") and table[2].endswith("λ without effect")
    assert "! λ = 1e-40 is below" in told("show", str(run))[1]


def test_one_run(live_api, told):
    good, bad = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    live_api.finish(good, accuracy__accuracy=0.9)
    live_api.fail(bad, "out of memory")
    code, output, _ = told("show", str(good))
    assert code == 0 and "accuracy.accuracy  0.900 [0.890, 0.910], n = 1000" in output
    output = told("show", str(bad))[1]
    assert "out of memory" in output and "the first line of the log" in output
    assert json.loads(told("show", str(good), "--json")[1])["id"] == good
    code, _, errors = told("show", "99999")
    assert code == 1 and "99999" in errors


def test_waiting_and_cancelling(live_api, told):
    first, second = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    experiment = str(live_api.client.run(first).experiment)
    code, _, errors = told("wait", "--experiment", experiment, "--timeout", "0.2")
    assert code == 4 and "They go on" in errors
    live_api.finish(first)
    code, output, _ = told("wait", str(first))
    assert code == 0 and "succeeded" in output
    assert told("cancel", "--experiment", experiment)[:2] == (0, f"Run {second}: stopping\n")
    code, _, errors = told("wait", "--experiment", experiment)
    assert code == 3 and f"Run {second} cancelled" in errors
    assert told("cancel", "--experiment", experiment)[1] == "No run of it is queued or running.\n"
    assert told("cancel", "0")[0] == 2


def test_a_failed_evaluation_of_a_trained_run_is_named_and_gives_exit_code_3(live_api, told):
    (run,) = live_api.train({"evaluations": []})
    live_api.client.evaluate(run, EvaluationSpec(key="leakage"))
    live_api.fail_evaluation(run, "leakage", "Out of memory.")
    code, output, errors = told("wait", str(run))
    assert code == 3 and "succeeded" in output
    assert f"Evaluation leakage of run {run} failed: Out of memory." in errors


def test_a_reader_that_has_enough_is_no_error(live_api):
    live_api.launch({"evaluations": []}, {"seed": list(range(50))})
    command = started("runs", "--json", url=live_api.url)
    assert command.stdout is not None and command.stderr is not None
    command.stdout.readline()
    command.stdout.close()
    assert command.wait(timeout=60) == 0
    assert command.stderr.read() == ""
    command.stderr.close()


# ---- export ----


def test_an_experiment_as_every_kind_of_file(live_api, told, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(report_module, "MAP_PATIENCE", 0.0)  # no worker draws maps here
    run_ids = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    for run_id in run_ids:
        live_api.finish(run_id, accuracy__accuracy=0.9)
    experiment = str(live_api.client.run(run_ids[0]).experiment)
    file = tmp_path / "all.zip"
    assert told("export", experiment, "--format", "zip", "-o", str(file)) == (0, "", "")
    folder = f"experiment-{experiment}"
    with zipfile.ZipFile(file) as archive:
        assert sorted(archive.namelist()) == [
            f"{folder}/{name}" for name in ("curves.csv", "experiment.json", "report.html", "runs.csv")
        ]
        content = {name.rpartition("/")[2]: archive.read(name).decode() for name in archive.namelist()}
    assert len(list(csv.DictReader(io.StringIO(content["curves.csv"])))) == 2 * 4 * 10
    told_json = json.loads(content["experiment.json"])
    assert [run["id"] for run in told_json["runs"]] == run_ids
    assert told_json["evaluations"][str(run_ids[0])][0]["values"]["accuracy"]["value"] == 0.9
    assert content["report.html"].lower().startswith("<!doctype html>")
    for form in ("csv", "json", "html"):
        path = tmp_path / f"file.{form}"
        assert told("export", experiment, "--format", form, "--output", str(path))[0] == 0
        assert path.stat().st_size > 500
    assert (tmp_path / "file.csv").read_bytes().decode() == content["runs.csv"]
    code, output, errors = process("export", experiment, "--format", "csv", url=live_api.url)
    assert (code, output, errors) == (0, content["runs.csv"].replace("\r\n", "\n"), "")


def test_what_cannot_be_exported(told, tmp_path: Path):
    for form in ("csv", "json", "html", "zip"):
        file = tmp_path / f"no.{form}"
        code, _, errors = told("export", "99999", "--format", form, "-o", str(file))
        assert code == 1 and "99999" in errors and not file.exists()
    code, _, errors = told("runs", "--limit", "0", "--status", "running")
    assert code == 0


def test_a_file_that_cannot_be_written(live_api, told, tmp_path: Path):
    (run_id,) = live_api.launch({"evaluations": []})
    experiment = str(live_api.client.run(run_id).experiment)
    code, _, errors = told("export", experiment, "--format", "csv", "-o", str(tmp_path / "absent" / "file.csv"))
    assert code == 1 and "absent/file.csv: No such file or directory" in errors


# ---- errors ----


def test_an_error_is_said_once_and_with_its_field(told, tmp_path: Path):
    assert told("show", "99999") == (1, "", "run 99999 does not exist; it may have been deleted\n")
    path = tmp_path / "bad.json"
    path.write_text('{"spec": {"epochs": 0}, "nmae": "x"}')
    assert told("launch", str(path)) == (2, "", "/nmae: there is no field of this name; did you mean name?\n")
    path.write_text('{"spec": {"epochs": 0, "lambda_": -1}}')
    assert told("launch", str(path)) == (
        2,
        "",
        "/spec/lambda_: expected a number of at least 0; got -1\n"
        "/spec/epochs: expected a number of at least 1; got 0\n",
    )
    code, _, errors = told("token", "create", "  ")
    assert code == 2 and errors == "/name: must have a character that is not a space\n"


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["lanch"], "launch"),
        (["runs", "--exeriment", "1"], "--experiment"),
        (["runs", "--status", "suceeded"], "succeeded"),
        (["export", "1", "--format", "cvs"], "csv"),
        (["token", "crate", "ada"], "create"),
    ],
)
def test_a_misspelt_argument_gets_a_suggestion(capsys, arguments, suggestion):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and f"did you mean {suggestion}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "suggestion"),
    [
        ({"spec": {"model": {"key": "mlpp"}}}, "mlp"),
        ({"spec": {"dataset": {"key": "blockmnst"}}}, "blockmnist"),
        ({"spec": {"optimizer": {"key": "adam", "params": {"lrr": 1}}}}, "lr"),
        ({"spec": {"epohcs": 1}}, "epochs"),
        ({"spec": {"evaluations": [{"key": "leakge"}]}}, "leakage"),
        ({"sweep": {"lamda_": [0, 1]}}, "lambda_"),
        ({"priority": "hgih"}, "high"),
    ],
)
def test_a_misspelt_name_in_a_file_gets_a_suggestion(told, tmp_path: Path, content, suggestion):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    code, _, errors = told("launch", str(path))
    assert code == 2 and f"did you mean {suggestion}?" in errors


def test_a_misspelt_filter_gets_a_suggestion(told):
    code, output, errors = told("runs", "--regularizer", "jacobain")
    assert (code, output) == (2, "") and errors.endswith("did you mean jacobian?\n")


@pytest.mark.parametrize("arguments", [["launch", "SPEC", "--name", "a\udcff"], ["runs", "--search", "\udcff"]])
def test_an_argument_that_is_not_unicode(told, spec, arguments):
    code, output, errors = told(*(str(spec) if item == "SPEC" else item for item in arguments))
    assert (code, output) == (2, "") and errors.endswith("not valid Unicode.\n")
