"""The median rule, against Optuna's own pruner on random curves."""

import random

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from densitylab.backend.shared.statistics.median_pruning import medians, pruned_at


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("warmup", [0, 2, 4])
def test_trials_are_pruned_at_the_epoch_at_which_optuna_prunes_them(higher: bool, warmup: int):
    draw = random.Random(warmup)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=0, n_warmup_steps=warmup + 1)  # epochs count from 1
    verdicts = []
    for _ in range(40):
        lengths = [draw.randint(3, 8) for _ in range(draw.randint(0, 7))]  # some stopped early
        earlier = [{epoch: draw.random() for epoch in range(1, length + 1)} for length in lengths]
        curve = {epoch: draw.random() for epoch in range(1, 9)}
        study = optuna.create_study(direction="maximize" if higher else "minimize")
        for known in earlier:
            study.add_trial(create_trial(value=0.0, intermediate_values=known))
        expected = None
        for epoch in curve:
            so_far = {known: value for known, value in curve.items() if known <= epoch}
            running = create_trial(state=TrialState.RUNNING, intermediate_values=so_far)
            if pruner.prune(study, running):
                expected = epoch
                break
        found = pruned_at(curve, medians(earlier), higher=higher, warmup_epochs=warmup)
        assert found == expected
        if found is not None:
            stopped = {epoch: value for epoch, value in curve.items() if epoch <= found}
            # What comes after the verdict does not change it
            assert pruned_at(stopped, medians(earlier), higher=higher, warmup_epochs=warmup) == found
        verdicts.append(found)
    assert None in verdicts and len(set(verdicts)) > 2
