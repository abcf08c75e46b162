"""Thinned curves of the API against the stored points."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from densitylab.backend.reconciler import System
from densitylab.backend.shared.store import metrics
from densitylab.backend.shared.store.metrics import Point

EVEN = list(range(0, 5000, 5))
UNEVEN = [step + (step % 3 == 0) for step in range(0, 2000, 2)]
ENDS_LIKE_EVEN = [0, *range(11, 1990, 2), 1991, 1992, 1993, 1994, 1995, 1996, 1998]


def kept(steps: list[int], max_points: int) -> list[int]:
    """Return the first and the last point of every curve, and evenly spaced ones between."""
    stride = -(-len(steps) // max_points)
    return sorted({*steps[::stride], steps[-1]})


@pytest.mark.parametrize("steps", [EVEN, UNEVEN, ENDS_LIKE_EVEN], ids=["even", "uneven", "ends like even"])
@pytest.mark.parametrize("max_points", [2, 7, 100, 999])
def test_a_thinned_curve_keeps_both_ends_and_even_positions(
    work: Any, system: System, client: TestClient, steps: list[int], max_points: int
):
    (run_id,) = work.launch({"evaluations": []})
    with system.database.write() as session:
        metrics.append(session, run_id, [Point("loss", step, step / 7, 1 / (step + 1), step / 100) for step in steps])
    (series,) = client.get(f"/api/v1/runs/{run_id}/metrics", params={"max_points": max_points}).json()["items"]
    assert series["total"] == len(steps)
    assert [point["step"] for point in series["points"]] == kept(steps, max_points)
    assert all(point["value"] == 1 / (point["step"] + 1) for point in series["points"])


def test_the_api_gives_what_the_store_reads(work: Any, system: System, client: TestClient):
    members = work.launch({"evaluations": []}, sweep={"seed": [0, 1]})
    with system.database.write() as session:
        for run_id in members:
            for name in ("loss", "penalty"):
                metrics.append(session, run_id, [Point(name, 3, 0.1, 1e-320, 1.5), Point(name, 4, 0.2, -1e300, 2.5)])
    with system.database.read() as session:
        expected = [item.model_dump(mode="json") for run_id in members for item in metrics.read(session, run_id)]
    assert client.get("/api/v1/metrics", params={"run": members}).json() == {"items": expected, "next_cursor": None}
    assert len(expected) == 4


def test_a_long_curve_is_thinned_unless_more_points_are_requested(work: Any, system: System, client: TestClient):
    (run_id,) = work.launch({"evaluations": []})
    with system.database.write() as session:
        metrics.append(session, run_id, [Point("loss", step, 0, 1.0, 0) for step in range(20_001)])
    for query, count in (
        ({}, len(kept(list(range(20_001)), 10_000))),
        ({"max_points": 50_000}, 20_001),
        ({"since": 15_000}, 5_000),
    ):
        (series,) = client.get(f"/api/v1/runs/{run_id}/metrics", params=query).json()["items"]
        assert len(series["points"]) == count, query
    assert series["total"] == 5_000


def test_curves_of_runs_of_several_lengths_are_told_apart(work: Any, system: System, client: TestClient):
    members = work.launch({"evaluations": []}, sweep={"seed": [0, 1, 2, 3]})
    steps = {members[0]: EVEN, members[1]: EVEN[:30], members[2]: UNEVEN, members[3]: EVEN}
    with system.database.write() as session:
        for run_id in members:
            own = steps[run_id]
            metrics.append(session, run_id, [Point("loss", step, 0, run_id * step, 0) for step in own])
            metrics.append(session, run_id, [Point("penalty", step, 0, -step, 0) for step in own[:7]])
    listed = client.get("/api/v1/metrics", params={"run": members, "max_points": 50}).json()["items"]
    assert [(item["run"], item["name"]) for item in listed] == [
        (run_id, name) for run_id in members for name in ("loss", "penalty")
    ]
    for item in listed:
        own = steps[item["run"]] if item["name"] == "loss" else steps[item["run"]][:7]
        factor = item["run"] if item["name"] == "loss" else -1
        assert [(point["step"], point["value"]) for point in item["points"]] == [
            (step, factor * step) for step in (kept(own, 50) if len(own) > 50 else own)
        ]
