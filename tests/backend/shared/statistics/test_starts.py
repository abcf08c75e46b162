"""Groups of runs that start from other runs."""

from densitylab.backend.shared.contracts import Lineage
from densitylab.backend.shared.statistics.groups import differing_settings, group_runs
from tests.backend.shared.statistics.test_groups import make_run

CONTINUED = {"mode": "continue", "epochs": 15.0}


def starting(number, seed, init_from, *ancestors, **spec):
    run = make_run(number, seed=seed, init_from=init_from, **spec)
    return run.model_copy(update={"lineage": Lineage(ancestors=list(ancestors))})


def test_each_seed_of_a_continued_run_has_its_own_source():
    members = [
        starting(number, seed, {"run": seed + 1, "mode": "continue"}, {"run": seed + 1, **CONTINUED})
        for number, seed in ((11, 0), (12, 1), (13, 2))
    ]
    longer = starting(14, 3, {"run": 4, "mode": "continue"}, {"run": 4, "mode": "continue", "epochs": 18.0})
    plain = make_run(15, seed=0)
    groups = group_runs([*members, longer, plain])
    assert [[run.id for run in group.runs] for group in groups] == [[11, 12, 13], [14], [15]]
    assert differing_settings(groups) == ["init_from"]
    assert [group.settings["init_from"] for group in groups] == [
        "continued after 15 epochs",
        "continued after 18 epochs",
        "new weights",
    ]


def test_weights_of_another_run_and_other_options_make_another_group():
    weights = {"run": 7, "mode": "weights", "epochs": 3.0}
    options = {"freeze": ["features.*", "norm"], "head": "new", "head_learning_rate_factor": 10.0}
    runs = [
        starting(11, 0, {"run": 7}, weights),
        starting(12, 1, {"run": 7}, weights),
        starting(13, 0, {"run": 8}, weights | {"run": 8}),
        starting(14, 0, {"run": 7, **options}, weights),
        starting(15, 0, {"run": 14, "mode": "continue"}, {"run": 14, **CONTINUED}, weights),
    ]
    assert [(len(group.runs), group.settings["init_from"]) for group in group_runs(runs)] == [
        (2, "weights of run 7"),
        (1, "weights of run 8"),
        (1, "weights of run 7, new head, frozen features.* norm, head at 10 times the learning rate"),
        (1, "continued after 15 epochs, weights of run 7"),
    ]
