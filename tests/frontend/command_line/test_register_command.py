"""`densitylab register`, as a process against a served API; the test writes what a worker would."""

from typing import Any

import pytest

from densitylab.backend.shared.contracts import PreviewColumn, PreviewCount, RegistrationPreview, Status, TaskKind
from densitylab.backend.shared.store import registration_previews
from densitylab.frontend.command_line import register
from tests.frontend.command_line.test_command_line import started

pytestmark = pytest.mark.timeout(240)


def preview(live_api: Any, *arguments: str, problems: list[str]) -> tuple[int, str, dict[str, Any]]:
    """Return exit code, output and request of a preview that finds a table of birds."""
    command = started("register", *arguments, url=live_api.url)
    assert command.stdout is not None and command.stdout.readline()  # the task is there
    held = live_api.newest_task(TaskKind.PREVIEW)
    column = PreviewColumn(name="y", role="label", distinct=2, examples=["0", "1"], reason="")
    found = RegistrationPreview(
        id=held.task_id,
        layout="table",
        problems=problems,
        columns=[column],
        class_names=["landbird", "waterbird"],
        attributes=[],
        group_names=["land", "water"],
        grouped_by=[],
        counts=[PreviewCount(label=1, group=0, train=56, validation=133, test=642)],
        sizes=[],
        sized=0,
        has_mask=False,
        images=[],
        passed_over=[],
        passed_over_count=0,
        notes=["Masks without an image: 1 (a.png)."],
    )
    with live_api.database.write() as session:
        registration_previews.keep(session, held.task_id, found)
    live_api.end(held, Status.SUCCEEDED)
    output, _ = command.communicate(timeout=120)
    return command.returncode, output, held.payload


def test_a_preview_prints_columns_counts_and_problems_and_stops(live_api: Any):
    options = ["--column", "label=y", "--column", "split=", "--attributes", "place,person", "--group-by", ""]
    code, output, request = preview(
        live_api,
        *("birds", "--preview", "--image-size", "64x96", "--split-value", "A=train", *options),
        problems=["metadata.csv, line 7, column y: there is no label"],
    )
    assert code == 1 and "! metadata.csv, line 7, column y: there is no label" in output
    assert "waterbird  land      56         133   642" in output and "Masks without an image: 1" in output
    assert request["columns"]["label"] == "y" and request["columns"]["split"] == ""
    assert request["columns"]["attributes"] == ["place", "person"] and request["group_by"] == []
    assert request["image_size"] == [64, 96] and request["split_values"] == {"A": "train"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["birds"], "--label: expected a name for people"),
        (["birds", "--preview", "--column", "labels=y"], "--column: expected one of image, label"),
        (["birds", "--preview", "--image-size", "large"], "--image-size: expected a number of pixels"),
        (["--preview"], "expected one of path, preview and hub"),
    ],
)
def test_wrong_arguments_are_named(
    live_api: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert register.main([*arguments, "--url", live_api.url]) == 2
    assert message in capsys.readouterr().err
