"""The benchmark of steps runs and writes its files; the test does not check the figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.steps", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_it_writes_a_table_and_json(tmp_path):
    only = ("straightforward", "marginal_density, double_backward", "marginal_density, double_backward, every 4")
    outcome = bench(
        "--models",
        "cnn",
        "--repeats",
        "2",
        "--batch",
        "4",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--only",
        *only,
        "--out",
        str(tmp_path),
    )
    assert outcome.returncode == 0, outcome.stderr
    rows = {row["variant"]: row for row in json.loads((tmp_path / "steps-cpu.json").read_text())["rows"]}
    assert list(rows) == ["none", *only]
    assert rows["none"]["ratio"] == 1 and rows["none"]["passes"] == 3
    passes = [rows[name]["passes"] for name in only]
    assert passes[0] > passes[1] > passes[2] > 3  # the shared forward pass saves work, and so does lazy application
    assert all(row["seconds"] > 0 and row["ratio_low"] <= row["ratio"] <= row["ratio_high"] for row in rows.values())
    text = (tmp_path / "steps-cpu.md").read_text()
    assert text in outcome.stdout and text.count("| cnn |") == 4 and "batch 4" in text


@pytest.mark.slow
def test_a_profile_names_the_operators_of_each_step(tmp_path):
    outcome = bench(
        "--models",
        "cnn",
        "--batch",
        "4",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--profile",
        "--only",
        "straightforward",
        "--out",
        str(tmp_path),
    )
    assert outcome.returncode == 0, outcome.stderr
    plain, straightforward = outcome.stdout.partition("cnn, straightforward")[::2]
    assert "cnn, none" in plain and "convolution" in plain and "convolution" in straightforward
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_it_refuses_names_that_it_does_not_know(tmp_path):
    outcome = bench("--only", "marginal", "--out", str(tmp_path))
    assert outcome.returncode == 2 and "marginal_density, double_backward" in outcome.stderr
