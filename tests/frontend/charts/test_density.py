"""Charts of log p: differences from the image, on one scale for all runs."""

from datetime import UTC, datetime

from densitylab.backend.shared.contracts import Density, DensityOfRun, DensityRequest, Status
from densitylab.frontend.charts.density import line_chart, plane_chart
from densitylab.frontend.maps.view import RunColumn

COLUMNS = [RunColumn(7, "λ 0", "#111111"), RunColumn(9, "λ 1", "#222222")]


def density() -> Density:
    return Density(
        id=1,
        status=Status.SUCCEEDED,
        request=DensityRequest(runs=[7, 9], index=0),
        task=1,
        created_at=datetime.now(UTC),
        distances=[-1, 0, 1],
        sides=[-1, 1],
        of_runs=[
            DensityOfRun(run=7, at_image=10, slope=2, curve=[8, 10, None], plane=[[10, 4], [11, None]]),
            DensityOfRun(run=9, at_image=-3, slope=1, curve=[-3, -3, -2.5], plane=[[-3, -3], [-2, -3]]),
        ],
    )


def test_curves_are_differences_from_the_image():
    first, second = line_chart(density(), COLUMNS).data
    assert (list(first.y), first.name) == ([-2, 0, None], "λ 0")
    assert list(second.y) == [0, 0, 0.5]


def test_planes_share_one_scale():
    maps = [trace for trace in plane_chart(density(), COLUMNS).data if trace.type == "heatmap"]
    assert [(trace.zmin, trace.zmax) for trace in maps] == [(-6, 6)] * 2
    assert [list(row) for row in maps[0].z] == [[0, -6], [1, None]]
