"""The benchmark of both forms of the exact penalty runs, and another call goes on; the figures are not checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(out, *arguments):
    command = [sys.executable, "-m", "benchmarks.exact_penalties", "--device", "cpu", "--threads", "1", "--batch", "4"]
    return subprocess.run(
        [*command, "--out", str(out), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )


def measured(out):
    return json.loads((out / "exact_penalties-cpu.json").read_text())["cases"]


def test_a_case_has_both_forms_beside_the_plain_step(tmp_path):
    outcome = bench(tmp_path, "--models", "mlp", "--ways", "eager", "--repeats", "1")
    assert outcome.returncode == 0, outcome.stderr
    ((case, result),) = measured(tmp_path).items()
    rows = {row["step"]: row for row in result["rows"]}
    assert case == "mlp, float32, contiguous, eager" and list(rows) == ["plain", "double_backward", "forward_mode"]
    assert rows["plain"]["to_plain"] == rows["double_backward"]["to_eager_double"] == 1
    assert all(row["milliseconds"] > 0 and row["to_plain"] == row["to_eager_plain"] for row in rows.values())
    assert outcome.stdout.count(f"| {case} |") == 3 and "0 cases left" in outcome.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_call_measures_what_is_missing(tmp_path):
    none = bench(tmp_path, "--models", "mlp", "--ways", "eager", "--repeats", "1", "--seconds", "0")
    assert none.returncode == 0 and "1 cases left" in none.stdout and not list(tmp_path.iterdir())
    bench(tmp_path, "--models", "mlp", "--ways", "eager", "--repeats", "1")
    before = measured(tmp_path)
    second = bench(tmp_path, "--models", "mlp", "cnn", "unknown", "--ways", "eager", "--repeats", "1")
    assert second.returncode == 0, second.stderr
    after = measured(tmp_path)
    assert after.pop("unknown, float32, contiguous, eager")["errors"][0].startswith("UnknownKey")
    assert len(after.pop("cnn, float32, contiguous, eager")["rows"]) == 3
    assert after == before and "mlp, float32, contiguous, eager:" not in second.stdout
    other = bench(tmp_path, "--models", "mlp", "--repeats", "2")
    assert other.returncode == 2 and "delete it or take another --out" in other.stderr


@pytest.mark.slow  # compiling takes minutes
@pytest.mark.timeout(900)
def test_a_compiled_case_has_eager_steps_beside_it(tmp_path):
    outcome = bench(tmp_path, "--models", "mlp", "--ways", "compiled", "--repeats", "1")
    assert outcome.returncode == 0, outcome.stderr
    (result,) = measured(tmp_path).values()
    assert result["errors"] == []
    steps = [row["step"] for row in result["rows"]]
    assert steps == ["plain", "double_backward", "compiled plain", "compiled forward_mode"]
