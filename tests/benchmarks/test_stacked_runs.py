"""The benchmark of stacked runs runs and writes its file; the test does not check the figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_it_writes_a_table_and_json(tmp_path: Path):
    options = ["--runs", "2", "--steps", "1", "--rounds", "1", "--device", "cpu", "--out", str(tmp_path)]
    outcome = subprocess.run(
        [sys.executable, "-m", "benchmarks.stacked_runs", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    content = json.loads((tmp_path / "stacked_runs-cpu.json").read_text())
    assert [row["network"] for row in content["rows"]] == ["mlp", "cnn"]
    assert all(row["one"] > 0 and row["together"] > 0 and row["ratio"] > 0 for row in content["rows"])
