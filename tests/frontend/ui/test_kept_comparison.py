"""A comparison is made once for the same runs and catalog."""

from collections.abc import Iterator

import pytest

from densitylab.frontend.ui.api import api
from densitylab.frontend.ui.kept_comparison import kept_comparison
from tests.frontend.conftest import LiveApi, forgotten


@pytest.fixture
def experiment(live_api: LiveApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setenv("DENSITYLAB_API_URL", live_api.url)
    runs = live_api.launch(sweep={"lambda_": [0, 1], "seed": [0, 1]})
    with forgotten():
        yield live_api.client.run(runs[0]).experiment


def test_the_same_runs_have_one_comparison(experiment: int):
    runs = api().runs_of(experiment)
    first = kept_comparison(runs)
    assert kept_comparison(api().runs_of(experiment)) is first
    other = kept_comparison(runs, baseline=runs[0].id)
    assert other is not first and other.baseline is not None and first.baseline is None
    assert len(kept_comparison(runs[:2]).groups) == 1 and len(first.groups) == 2


def test_changed_runs_have_a_new_one(experiment: int, live_api: LiveApi):
    runs = api().runs_of(experiment)
    first = kept_comparison(runs)
    live_api.finish(runs[0].id, accuracy__accuracy=0.5)
    second = kept_comparison(api().runs_of(experiment))
    assert not first.columns and [column.result for column in second.columns] == ["accuracy.accuracy"]
