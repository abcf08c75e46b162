"""The title line of a run says how its training ended, if that is bad."""

import pytest

from densitylab.backend.shared.contracts import Flag, Origin, Run, RunSource, RunSpec, Status
from densitylab.frontend.analysis.formatting import run_name
from densitylab.frontend.client.catalog import Catalog


@pytest.mark.parametrize(
    ("keys", "start"),
    [
        ([], "Run 7: "),
        (["at_chance"], "Run 7 at chance: "),
        (["max_pooling", "at_chance", "loss_above_start"], "Run 7 at chance: "),
        (["loss_above_start"], "Run 7 diverged: "),
        (["max_pooling"], "Run 7: "),
        (["catastrophic_overfitting"], "Run 7 overfitted to its attack: "),
    ],
)
def test_the_title_line_of_a_run_that_ended_badly_says_so(keys: list[str], start: str):
    flags = [Flag(key=key, text="…") for key in keys]
    run = Run.model_construct(id=7, spec=RunSpec(), status=Status.SUCCEEDED, flags=flags)
    assert run_name(run, Catalog({})).startswith(start)


@pytest.mark.parametrize("origin", Origin)
def test_the_own_name_of_a_run_stands_for_its_settings(origin: Origin):
    flags = [Flag(key="at_chance", text="…")]
    run = Run.model_construct(id=7, name="teacher", spec=RunSpec(), origin=origin, flags=flags)
    assert run_name(run, Catalog({})) == "Run 7 at chance: teacher"


@pytest.mark.parametrize(
    ("notes", "name"),
    [("Sam, width 64\nsecond line", " Sam, width 64"), ("logged training", ""), ("", " model.safetensors")],
)
def test_a_logged_run_has_the_name_that_its_user_gave_and_not_that_of_its_file(notes: str, name: str):
    source = RunSource(file_name="model.safetensors", format="safetensors")
    run = Run.model_construct(
        id=7, spec=RunSpec(), status=Status.SUCCEEDED, flags=[], origin=Origin.LOGGED, source=source, notes=notes
    )
    assert run_name(run, Catalog({})).startswith(f"Run 7: logged training{name}, ")
    run.origin, run.notes = Origin.IMPORTED, "a note"
    assert run_name(run, Catalog({})).startswith("Run 7: imported model model.safetensors, ")
