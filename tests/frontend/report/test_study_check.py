"""docs/studies/check.py finds every figure of a study's page again from its runs."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from densitylab.backend.shared.contracts import Run, Value
from densitylab.backend.shared.statistics.estimates import wilson
from densitylab.backend.shared.store import runs
from densitylab.frontend.report.study_markdown import study_markdown
from tests.docs_scripts import load
from tests.frontend.conftest import LiveApi, served

IMAGES, ATTACKED = 1000, 300
# Accuracy under attack by schedule: one better than a constant λ, one worse, the others about the same
ROBUST = {"linear_warm_up": 0.55, "cosine": 0.25, "target": 0.40, "budget": 0.41, "robustness": 0.39, "constant": 0.40}
ORDER = np.random.default_rng(0).permutation(IMAGES)  # the first ones are the first to be wrong

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def check():
    return load("studies/check.py")


def share_of(right: np.ndarray) -> Value:
    low, high = wilson(right.mean(), len(right))
    return Value(value=right.mean(), low=low, high=high, n=len(right), higher_is_better=True)


def finish(live_api, run: Run) -> None:
    """Finish a run, with results of which each is the mean of an array."""
    rng = np.random.default_rng(run.id)  # of an API without other runs: the ids are always the same
    robust = ROBUST[run.spec.schedule.key] - (0.3 if run.spec.lambda_ == 0 else 0.0)
    live_api.finish(run.id)
    with live_api.database.write() as session:
        runs.set_metrics(session, run.id, {"lambda_": run.spec.lambda_ * rng.uniform(0.5, 2)})
    correct = np.argsort(ORDER) >= 100 + rng.integers(-3, 4)
    live_api.measured(run.id, "accuracy", values={"accuracy": share_of(correct)}, correct=correct)
    for name in ("pgd_linf", "pgd_linf_validation"):
        held = np.arange(ATTACKED) >= ATTACKED * (1 - robust) + rng.integers(-1, 2)
        broken_at = np.where(held, np.inf, 0.05)
        indices = np.sort(ORDER[:ATTACKED])
        live_api.measured(
            run.id, name, values={"accuracy": share_of(held)}, broken_at=broken_at, held=held, indices=indices
        )
    share = np.clip(rng.normal(0.3, 0.1, IMAGES), 0, 1)
    value = Value(value=share.mean(), low=0.1, high=0.5, n=IMAGES, higher_is_better=False)
    live_api.measured(run.id, "leakage", values={"share": value}, share=share)


@pytest.fixture(scope="module")
def live_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    """An API of this file alone."""
    with served(tmp_path_factory.mktemp("check")) as live:
        yield live


@pytest.fixture(scope="module")
def page(live_api) -> str:
    """The page of a study whose runs have arrays."""
    live_api.prepare()
    client = live_api.client
    study = client.launch_study("dynamic", "minutes")
    for run in client.runs_of(study.launches[0].experiment):
        finish(live_api, run)
    return study_markdown(client.study_report(study.id), client.catalog())


def checked(check, live_api, path: Path, page: str) -> int:
    path.write_text(page, encoding="utf-8")
    return check.main(path, live_api.url)


def test_every_figure_is_found_again(check, live_api, page, tmp_path, capsys):
    code, printed = checked(check, live_api, tmp_path / "page.md", page), capsys.readouterr().out
    assert code == 0, printed
    # 30 hashes; λ, † and seeds of 7 rows and of 10; their 3 and 4 columns, with ★ or without; 5 claims with a reason
    figures = 30 + 17 * 3 + (7 * 3 + 10 * 4) * 2 + 5 * 2
    agree, found = map(int, re.search(r"(\d+) of (\d+) figures agree", printed).groups())
    assert agree == found >= figures
    assert set(re.findall("✓ yes|✕ no|[?] undecided", page)) == {"✓ yes", "✕ no", "? undecided"}


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (r"None \(baseline\)[^|]* \| 0 \| 3 \| 0\.\d\d", "accuracy"),
        (r"None \(baseline\)[^|]* \| 0 \| 3 \| [^|]* \| 0\.\d\d", "PGD|attack"),
        (r"\n\| [^|]*Constant[^|]* \| 0\.1", "λ"),
        (r"\n\| [^|]*Constant[^|]* \| \S+(?: †)? \| 3", "seeds"),
        (r"Yes, over 3", "reason"),
        (r"\n\| MLP, ReLU \| [^|]* \| 0 \| [0-9a-f]*\d", "spec hash"),
    ],
)
def test_a_changed_digit_is_found(check, live_api, page, tmp_path, capsys, pattern, name):
    place = re.search(pattern, page).end() - 1
    changed = page[:place] + str((int(page[place]) + 5) % 10) + page[place + 1 :]
    assert checked(check, live_api, tmp_path / "page.md", changed) == 1
    assert re.search(name, capsys.readouterr().out)


@pytest.mark.parametrize(
    ("old", "new"), [(" † |", " |"), ("✓ yes", "? undecided"), ("| ★ ", "| "), ("| 3 | 0.", "| 3 | ★ 0.")]
)
def test_a_mark_or_an_answer_that_is_changed_is_found(check, live_api, page, tmp_path, old, new):
    assert old in page
    assert checked(check, live_api, tmp_path / "page.md", page.replace(old, new, 1)) == 1
