"""`densitylab launch --set PATH=VALUE`."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from densitylab.cli import main
from densitylab.frontend.command_line.outcome import WrongInput
from densitylab.frontend.command_line.overrides import apply, override


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("epochs=3", "epochs", [3]),
        ("lambda_=0,0.1", "lambda_", [0, 0.1]),
        ("lambda_=1e-3", "lambda_", [0.001]),
        ("model.key=cnn", "model.key", ["cnn"]),
        ("model.key=mlp, cnn", "model.key", ["mlp", "cnn"]),
        ('model.key="a,b"', "model.key", ["a,b"]),
        ("regularizer.params.power=null", "regularizer.params.power", [None]),
        ("evaluations=[]", "evaluations", [[]]),
        ('evaluations=[{"key": "leakage"}]', "evaluations", [[{"key": "leakage"}]]),
        ('optimizer={"key": "sgd"},{"key": "adam"}', "optimizer", [{"key": "sgd"}, {"key": "adam"}]),
        ("model.key=mlp,1,true", "model.key", ["mlp", 1, True]),
        ("device=a=b", "device", ["a=b"]),
    ],
)
def test_a_value_is_json_or_text(text: str, path: str, values: list[Any]):
    assert override(text) == (path, values)


@pytest.mark.parametrize("text", ["epochs", "=3", "epochs=", "epochs= ", "lambda_=1e-400", "lambda_=a,1e-400"])
def test_what_is_no_override(text: str):
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected PATH=VALUE|1e-400 rounds to 0"):
        override(text)


@pytest.mark.parametrize(
    ("sweep", "texts", "expected"),
    [
        (None, [], None),
        (None, ["lambda_=0,1", "epochs=3"], {"lambda_": [0, 1], "epochs": [3]}),
        ({"lambda_": [0, 1], "seed": [0, 1]}, ["lambda_=0.5"], {"seed": [0, 1], "lambda_": [0.5]}),
        ([{"lambda_": [0, 1]}, {"seed": [3]}], ["seed=1,2"], [{"lambda_": [0, 1], "seed": [1, 2]}, {"seed": [1, 2]}]),
        (None, ["epochs=1", "epochs=2"], {"epochs": [2]}),
    ],
)
def test_an_override_replaces_what_the_file_sweeps(sweep: Any, texts: list[str], expected: Any):
    request = {"sweep": sweep}
    apply(request, [override(text) for text in texts])
    assert request == {"sweep": expected}


@pytest.mark.parametrize("sweep", ["lambda_", [1], 3])
def test_a_sweep_that_is_no_mapping(sweep: Any):
    with pytest.raises(WrongInput, match="not a mapping"):
        apply({"sweep": sweep}, [("model.key", ["cnn"])])


def test_a_launch_of_overrides_alone(live_api, capsys):
    overrides = [
        "--set",
        "lambda_=0,0.1",
        "--set",
        "epochs=2",
        "--set",
        "evaluations=[]",
        "--set",
        "model.params.layers=1",
    ]
    assert main(["launch", *overrides, "--name", "from options", "--json", "--url", live_api.url]) == 0
    answer = json.loads(capsys.readouterr().out)
    runs = live_api.client.runs_of(answer["id"])
    assert answer["name"] == "from options"
    assert [(run.spec.lambda_, run.spec.epochs) for run in runs] == [(0.0, 2), (0.1, 2)]
    assert [run.spec.model.params["layers"] for run in runs] == [1, 1]


def test_an_override_of_a_file(live_api, tmp_path: Path, capsys):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"spec": {"epochs": 9, "evaluations": []}, "sweep": {"lambda_": [0, 1]}}))
    assert main(["launch", str(spec), "--set", "epochs=1", "--json", "--url", live_api.url]) == 0
    runs = live_api.client.runs_of(json.loads(capsys.readouterr().out)["id"])
    assert [(run.spec.lambda_, run.spec.epochs) for run in runs] == [(0.0, 1), (1.0, 1)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epohcs=3", "/sweep/epohcs/0: there is no field of this name; did you mean epochs?\n"),
        ("lamda_=0,1", "/sweep/lamda_/0: there is no field of this name; did you mean lambda_?\n"),
        ("model.key=mlpp", "did you mean mlp?\n"),
        ("optimizer.params.lrr=1,2", "did you mean lr?\n"),
    ],
)
def test_a_misspelt_path_gets_a_suggestion_once(live_api, capsys, text: str, sentence: str):
    assert main(["launch", "--set", text, "--url", live_api.url]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and errors.endswith(sentence) and errors.count("\n") == 1


def test_a_launch_of_nothing(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["launch"])
    assert stopped.value.code == 2 and "expected FILE, --set, or both" in capsys.readouterr().err
