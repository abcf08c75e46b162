"""Optuna: what a search tries next, and its study as a file. The only module that imports it, when it is used."""

import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

from sqlalchemy.pool import StaticPool

from densitylab.backend.services.optuna_trials import Trial
from densitylab.backend.shared.contracts import Choices, IntegerRange, NumberRange, OptunaSearch, SearchParameter
from densitylab.backend.shared.errors import NotInstalled

_SAMPLER_ATTEMPTS = 10  # proposals in a row that were tried before or are refused; then they are drawn at random
_ATTEMPTS = 200  # in a row; then there is nothing left to try
Proposal = TypeVar("Proposal")


def propose(
    search: OptunaSearch, trials: Sequence[Trial], make: Callable[[dict[str, Any]], Proposal | None]
) -> list[Proposal]:
    """Return the next batch; fewer than `parallel` where the trials end or no other combination is found.

    It is a function of the request and the ended trials: the sampler starts with a seed made of the search's and the
    number of trials.

    Args:
        search: the request.
        trials: all so far, ended.
        make: of the parameters by path; None: they are refused.

    Raises:
        NotInstalled: Optuna is not installed.
    """
    optuna = _optuna()
    ranges = {item.path: _distribution(optuna, item) for item in search.parameters}
    seed = _seed(search.sampler_seed, len(trials))
    random = optuna.samplers.RandomSampler(seed=seed)
    sampler = random
    if search.sampler == "tpe":
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=search.startup_trials)
    study = optuna.create_study(sampler=sampler, directions=[item.direction for item in search.objectives])
    study.add_trials([_frozen(optuna, search, trial, ranges) for trial in trials])
    known = [trial.parameters for trial in trials]
    batch: list[Proposal] = []
    attempts = 0
    while len(batch) < min(search.parallel, search.trials - len(trials)) and attempts < _ATTEMPTS:
        asked = study.ask(ranges)
        made = None if asked.params in known else make(asked.params)
        if made is not None:
            batch.append(made)
            known.append(asked.params)
            attempts = 0
            continue
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
        attempts += 1
        if attempts == _SAMPLER_ATTEMPTS:
            study.sampler = random
    return batch


def sqlite_file(search: OptunaSearch, trials: Sequence[Trial], name: str) -> bytes:
    """Return an SQLite file with the study, as Optuna's RDBStorage writes it. Raises NotInstalled."""
    optuna = _optuna()
    storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"poolclass": StaticPool})  # in memory
    study = optuna.create_study(
        storage=storage, study_name=name, directions=[item.direction for item in search.objectives]
    )
    study.set_metric_names([item.result for item in search.objectives])
    ranges = {item.path: _distribution(optuna, item) for item in search.parameters}
    study.add_trials([_frozen(optuna, search, trial, ranges) for trial in trials])
    connection = storage.engine.raw_connection().driver_connection
    assert isinstance(connection, sqlite3.Connection)
    content = connection.serialize()
    storage.engine.dispose()
    return content


def _optuna() -> ModuleType:
    try:
        import optuna
    except ModuleNotFoundError:
        raise NotInstalled("a search with Optuna", "optuna") from None
    optuna.logging.disable_default_handler()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # names of the objectives
    return optuna


def _seed(*parts: int) -> int:
    import numpy as np

    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _distribution(optuna: ModuleType, parameter: SearchParameter) -> Any:
    if isinstance(parameter, Choices):
        return optuna.distributions.CategoricalDistribution(parameter.choices)
    kinds: dict[type[SearchParameter], Any] = {
        NumberRange: optuna.distributions.FloatDistribution,
        IntegerRange: optuna.distributions.IntDistribution,
    }
    return kinds[type(parameter)](parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def _frozen(optuna: ModuleType, search: OptunaSearch, trial: Trial, ranges: Mapping[str, Any]) -> Any:
    states = {
        "complete": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
        "running": optuna.trial.TrialState.RUNNING,
    }
    made = optuna.trial.create_trial(
        state=states[trial.state],
        params=trial.parameters,
        distributions=dict(ranges),
        values=trial.values if trial.state == "complete" else None,
        intermediate_values=trial.reported,
        user_attrs={"runs": [run.id for run in trial.runs], "reason": trial.reason},
    )
    if trial.started_at is not None:
        made.datetime_start, made.datetime_complete = trial.started_at, trial.finished_at
    return made
