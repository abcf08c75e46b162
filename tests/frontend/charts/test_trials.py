"""Charts of a search's trials."""

from typing import Any

from densitylab.backend.shared.contracts import SearchCandidate, SearchObjective, SearchProgress
from densitylab.frontend.charts.trials import trials_chart


def trial(number: int, *values: float | None, best: bool = False, state: str = "complete") -> SearchCandidate:
    return SearchCandidate(
        number=number,
        settings={},
        parameters={"lambda_": 0.123456, "optimizer.key": "sgd"},
        lambda_=0.123456,
        runs=[10 + number],
        state=state,  # type: ignore[arg-type]
        accuracy=None,
        value=values[0],
        values=list(values),
        within_budget=None,
        best=best,
    )


def search(directions: list[Any], candidates: list[SearchCandidate]) -> SearchProgress:
    return SearchProgress(
        kind="optuna",
        status="running",
        reason="",
        result="a.b",
        objectives=[SearchObjective(result="a.b", direction=direction) for direction in directions],
        accuracy_budget=None,
        baseline_accuracy=None,
        methods=[],
        candidates=candidates,
        runs=0,
        max_runs=9,
    )


def test_one_objective_is_drawn_over_the_trials_with_the_best_so_far():
    running = trial(3, None, state="running")
    figure = trials_chart(search(["minimize"], [trial(0, 3.0), trial(1, 1.0, best=True), trial(2, 2.0), running]))
    assert figure is not None
    best, trials = figure.data
    assert list(trials.x) == [0, 1, 2] and list(trials.y) == [3.0, 1.0, 2.0] and list(best.y) == [3.0, 1.0, 1.0]
    assert list(trials.marker.size) == [8, 12, 8] and list(trials.customdata) == [10, 11, 12]
    assert trials.text[1] == "trial 1: 1<br>λ = 0.1235, optimizer.key = sgd"
    assert figure.layout.yaxis.title.text == "a.b, validation (less is better)"


def test_two_objectives_are_drawn_with_the_pareto_front():
    candidates = [trial(0, 0.9, 0.1, best=True), trial(1, 0.1, 0.9, best=True), trial(2, 0.1, 0.1)]
    figure = trials_chart(search(["maximize", "maximize"], candidates))
    assert figure is not None
    front, trials = figure.data
    assert list(front.x) == [0.1, 0.9] and list(front.y) == [0.9, 0.1] and front.mode == "lines"
    assert list(trials.x) == [0.9, 0.1, 0.1] and list(trials.y) == [0.1, 0.9, 0.1]


def test_there_is_no_chart_before_a_trial_is_complete():
    assert trials_chart(search(["maximize"], [trial(0, None, state="running")])) is None
