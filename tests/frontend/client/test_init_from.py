"""Launches that start from other runs: client and command line against a served API."""

import pytest

from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.cli import main
from densitylab.frontend.client import ApiError

pytestmark = pytest.mark.timeout(120)
SMALL = {"epochs": 2, "evaluations": [], "seed": 5}


def only_run(live_api, experiment):
    (run,) = experiment.runs
    return live_api.client.run(run)


def test_a_run_is_continued(live_api):
    (source,) = live_api.train(SMALL)
    run = only_run(live_api, live_api.client.continue_run(source, 9))
    assert (run.spec.epochs, run.spec.seed, run.lineage.ancestors[0].run) == (9, 5, source)
    with pytest.raises(ApiError, match=f"there is no run {run.id + 1}"):
        live_api.client.continue_run(run.id + 1, 9)


@pytest.mark.parametrize("form", [dict, ExperimentRequest.model_validate])
def test_all_runs_of_a_launch_start_from_a_run(live_api, form):
    (source,) = live_api.train(SMALL)
    request = form({"name": "tuned", "spec": SMALL | {"seed": 6}})
    experiment = live_api.client.launch(request, init_from={"run": source, "freeze": ["1"]})
    run = only_run(live_api, experiment)
    assert (experiment.name, run.spec.seed, run.spec.init_from.run, run.spec.init_from.freeze) == (
        "tuned",
        6,
        source,
        ["1"],
    )
    assert request == form({"name": "tuned", "spec": SMALL | {"seed": 6}})  # unchanged


def test_the_command_sets_a_start(live_api, capsys):
    (source,) = live_api.train(SMALL)
    start = ["--set", f"init_from.run={source}", "--url", live_api.url]
    longer = [*start, "--set", "init_from.mode=continue", "--set", "epochs=8"]
    assert main(["launch", "--dry-run", *longer]) == 0
    assert f"note      Continues run {source}, from its full state" in capsys.readouterr().out
    for arguments, mode in ((start, "weights"), (longer, "continue")):
        assert main(["launch", *arguments]) == 0
        run = live_api.client.runs(limit=1).items[0]
        assert (run.spec.init_from.run, run.spec.init_from.mode) == (source, mode)
    assert main(["launch", "--set", "init_from.run=99999", "--url", live_api.url]) != 0
    assert "there is no run 99999" in capsys.readouterr().err
