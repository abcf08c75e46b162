"""The title line of a run says how its training ended, if that is bad."""

import pytest

from densitylab.backend.shared.contracts import Flag, Run, RunSpec, Status
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
    ],
)
def test_the_title_line_of_a_run_that_ended_badly_says_so(keys: list[str], start: str):
    flags = [Flag(key=key, text="…") for key in keys]
    run = Run.model_construct(id=7, spec=RunSpec(), status=Status.SUCCEEDED, flags=flags)
    assert run_name(run, Catalog({})).startswith(start)
