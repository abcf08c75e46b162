"""Count GPUs and cores without CUDA."""

import os
from pathlib import Path

import pytest

from densitylab.backend.ops import devices


@pytest.mark.parametrize(("visible", "expected"), [("", []), ("-1", []), ("0,2", ["0", "2"]), ("GPU-ab", ["GPU-ab"])])
def test_visible_devices_are_obeyed(visible: str, expected: list[str]):
    assert devices.gpus(visible) == expected


def test_the_drivers_list_counts_where_its_tool_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for address in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / address).mkdir(parents=True)
    assert devices.gpus(None, tmp_path / "gpus") == ["0", "1"]
    assert devices.gpus(None, tmp_path / "none") == []


def test_the_tool_is_asked_and_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    lines = ["GPU 0: A (UUID: x)", "  MIG 1g Device 0: (UUID: y)", "GPU 1: A (UUID: z)"]
    tool.write_text("\n".join(["#!/bin/sh", *(f"echo '{line}'" for line in lines)]))
    tool.chmod(0o755)
    assert devices.gpus(None) == ["0", "1"]
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert devices.gpus(None) == []


@pytest.mark.parametrize(("content", "most"), [("100000 100000\n", 1), ("50000 100000\n", 1), ("max 100000\n", None)])
def test_a_containers_quota_limits_the_cores(content: str, most: int | None, tmp_path: Path):
    quota = tmp_path / "cpu.max"
    quota.write_text(content)
    assert devices.cores(quota) == (most or devices.cores(tmp_path / "absent"))


def test_a_containers_quota_limits_the_memory(tmp_path: Path):
    whole = devices.memory(tmp_path / "absent")
    for content, expected in (("1073741824\n", 2**30), ("max\n", whole), (f"{2 * whole}\n", whole)):
        (tmp_path / "memory.max").write_text(content)
        assert devices.memory(tmp_path / "memory.max") == expected
