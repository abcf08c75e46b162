"""Charts of log p: differences from the image, on one scale for all runs."""

from datetime import UTC, datetime

import pytest

from densitylab.backend.shared.contracts import Density, DensityOfRun, DensityRequest, Status
from densitylab.frontend.charts.density import change_at, line_chart, plane_chart, plane_limit, reading
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
    first, second = line_chart(density(), COLUMNS, {"test image 0": 0.0}).data
    assert (list(first.y), first.name) == ([-2, 0, None], "λ 0")
    assert list(second.y) == [0, 0, 0.5]


def test_planes_share_one_scale():
    slices = density()
    limit = plane_limit(slices)
    first, second = (plane_chart(slices, column.run, limit).data[0] for column in COLUMNS)
    assert limit == 6 and [(trace.zmin, trace.zmax) for trace in (first, second)] == [(-6, 6)] * 2
    assert [list(row) for row in first.z] == [[0, -6], [1, None]]


def test_the_images_on_the_line_are_marked():
    figure = line_chart(density(), COLUMNS, {"test image 0": 0.0, "test image 7": 0.8})
    assert [(note.text, note.x) for note in figure.layout.annotations] == [("test image 0", 0.0), ("test image 7", 0.8)]
    assert [line.x0 for line in figure.layout.shapes] == [0.0, 0.8]


@pytest.mark.parametrize(("distance", "side"), [(0.1, "left"), (2.9, "left"), (3.1, "right"), (5.0, "right")])
def test_the_names_of_two_images_do_not_overlap(distance, side):
    notes = line_chart(density(), COLUMNS, {"test image 0": 0.0, "test image 7": distance}).layout.annotations
    assert [note.xanchor for note in notes] == ["right", side]
    assert line_chart(density(), COLUMNS, {"test image 0": 0.0}).layout.annotations[0].xanchor == "center"


def test_a_sentence_names_the_flattest_and_the_steepest_run():
    text = reading(density(), COLUMNS, "test image 0")
    assert "flattest under λ 1 (‖∇ log p(x)‖ = 1) and steepest under λ 0 (2, 2 times as steep)" in text
    assert "Within L2 5 of it, log p changes by up to 0.500 under λ 1 and 2 under λ 0." in text
    assert reading(density(), COLUMNS[:1], "test image 0").startswith("At test image 0 the slope ‖∇ log p(x)‖ is 2;")


def test_the_change_at_the_other_image_is_that_of_the_nearest_point():
    text = change_at(density(), COLUMNS, 0.8, ["test image 0", "test image 7"])
    assert text == (
        "At test image 7, L2 0.8 from test image 0, log p differs from that at test image 0 by unknown under λ 0, "
        "+0.5 under λ 1."
    )
