"""The benchmark of loading runs and writes its files; the test does not check the figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_it_writes_a_table_and_json(tmp_path):
    outcome = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.loading",
            "--repeats",
            "2",
            "--batch",
            "4",
            "--threads",
            "1",
            "--device",
            "cpu",
            "--out",
            str(tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    content = json.loads((tmp_path / "loading-cpu.json").read_text())
    assert [row["way"] for row in content["rows"]] == ["plain step", "resident", "streamed, alone", "streamed, waited"]
    assert all(row["seconds"] > 0 and row["share"] > 0 for row in content["rows"])
    assert "batch 4" in content["heading"] and outcome.stdout.count("%") == 4
