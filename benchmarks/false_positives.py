"""Measure how often ★ and the claim box find a difference where there is none, and where there is one.

    python -m benchmarks.false_positives [--repeats 400] [--out FOLDER]

Each repeat draws runs: images with difficulties, seeds with luck of their own, and right or wrong by chance. The groups
of a null repeat have the same distribution. The page's own functions then judge the runs. Writes false-positives.md.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.markdown import markdown
from densitylab.backend.shared.contracts import Run, RunSpec, Status, Value
from densitylab.backend.shared.statistics.claims import judge
from densitylab.backend.shared.statistics.estimates import wilson
from densitylab.backend.shared.statistics.groups import Column, Group, columns, difference, group_runs
from densitylab.backend.shared.statistics.paired_tests import ImageTest, compare_images
from densitylab.backend.shared.statistics.table_tests import best_groups

REPEATS = 400
IMAGES = 500
ROBUST, ACCURATE = 0.4, 0.9  # mean PGD accuracy and accuracy without an effect
EFFECT = 0.10  # of PGD accuracy, where there is one
BUDGET = 0.02  # of accuracy
DIFFICULTY = 1.5  # standard deviation over images, in logits
LUCK = 0.10  # standard deviation over seeds, in logits
OWN_IMAGES = 0.5  # standard deviation over images of what a method finds harder than another, in logits
_TODAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Rate:
    """A share of the repeats."""

    what: str
    count: int
    repeats: int

    @property
    def row(self) -> list[str]:
        low, high = wilson(self.count / self.repeats, self.repeats)
        return [self.what, f"{100 * self.count / self.repeats:.1f} %", f"{100 * low:.1f} to {100 * high:.1f} %"]


def draw(rng: np.random.Generator, shares: list[float], seeds: int, *, own_images: float = 0.0) -> NDArray[np.float64]:
    """Return which images are right: (groups, seeds, images), 0 or 1.

    Args:
        shares: the expected share of right images of each group.
        own_images: standard deviation in logits, over images, of each group's own difficulties.
    """
    difficulty = rng.normal(0, DIFFICULTY, IMAGES) + rng.normal(0, 1, (len(shares), 1, IMAGES)) * own_images
    luck = rng.normal(0, LUCK, (len(shares), seeds, 1))
    level = np.array([_level(share, own_images) for share in shares])[:, None, None]
    return (rng.random((len(shares), seeds, IMAGES)) < _logistic(level + luck - difficulty)).astype(float)


def _logistic(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits))


@cache
def _level(share: float, own_images: float) -> float:
    """Return the level in logits at which this share is right on average, by bisection over a fixed sample."""
    spread = np.sqrt(DIFFICULTY**2 + LUCK**2 + own_images**2)
    offsets = spread * np.random.default_rng(0).standard_normal(4000)
    low, high = -10.0, 10.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _logistic(middle + offsets).mean() < share else (low, middle)
    return (low + high) / 2


def groups_of(results: dict[str, NDArray[np.float64]]) -> list[Group]:
    """Return groups with these results, each (groups, seeds, images), as runs of λ = 1, 2, …"""
    count, seeds, images = next(iter(results.values())).shape
    runs: list[Run] = []
    for group in range(count):
        for seed in range(seeds):
            values = {}
            for name, right in results.items():
                share = float(right[group, seed].mean())
                low, high = wilson(share, images)
                values[name] = Value(value=share, low=low, high=high, n=images, higher_is_better=True)
            runs.append(
                Run(
                    id=len(runs) + 1,
                    experiment=1,
                    task=len(runs) + 1,
                    status=Status.SUCCEEDED,
                    created_at=_TODAY,
                    spec=RunSpec(lambda_=group + 1, seed=seed),
                    results=values,
                    provenance={"data_hash": "d"},
                )
            )
    return group_runs(runs)


def crowned(groups: list[Group]) -> dict[Column, int]:
    """Return the group with ★ of each result, by index."""
    return best_groups(groups, dict.fromkeys(columns(run for group in groups for run in group.runs), True))


def answered_with_yes(result: NDArray[np.float64], accuracy: NDArray[np.float64]) -> bool:
    """Return whether the claim box says yes about two groups, over seeds and over images."""
    first, second = groups_of({"pgd_linf.accuracy": result, "accuracy.accuracy": accuracy})
    by_seeds = [difference(first, second, column) for column in columns(first.runs)]

    def verdict(by_images: list[ImageTest | None]) -> str:
        tests = list(zip(by_seeds, by_images, strict=True))
        return judge(tests[0], tests[1], higher=True, max_loss=BUDGET).verdict

    # Images can only take a yes back, and take time
    return (
        verdict([None, None]) == "yes"
        and verdict([compare_images(*right.mean(axis=1)) for right in (result, accuracy)]) == "yes"
    )


def table(rng: np.random.Generator, shares: list[float], seeds: int, results: int) -> list[Group]:
    """Return groups with several results, all with these expected shares."""
    return groups_of({f"pgd_{number}.accuracy": draw(rng, shares, seeds) for number in range(results)})


def star_rates(repeats: int) -> list[Rate]:
    """Return how often a table has a ★, without and with a group that is better than all others."""
    rates = []
    for seeds in (3, 5):
        for count, results in ((2, 1), (2, 4), (5, 4), (9, 4)):
            rng = np.random.default_rng([seeds, count, results])

            null = sum(bool(crowned(table(rng, [ROBUST] * count, seeds, results))) for _ in range(repeats))
            words = f"{count} groups, {results} result{'s' if results > 1 else ''}, {seeds} seeds"
            rates.append(Rate(f"★ without an effect: {words}", null, repeats))
            better = [ROBUST] * (count - 1) + [ROBUST + EFFECT]
            right = 0
            for _ in range(repeats):
                groups = table(rng, better, seeds, results)
                right += crowned(groups).get(columns(groups[0].runs)[0]) == count - 1
            rates.append(Rate(f"★ for the best by {EFFECT:g}: {words}", right, repeats))
    return rates


def claim_rates(repeats: int) -> list[Rate]:
    """Return how often a claim is answered with yes where it is not true, and where it is."""
    cases: tuple[tuple[str, list[float], list[float], float], ...] = (
        ("yes without an effect", [ROBUST, ROBUST], [ACCURATE, ACCURATE], 0.0),
        ("yes without an effect, methods with own images", [ROBUST, ROBUST], [ACCURATE, ACCURATE], OWN_IMAGES),
        (
            f"yes at an effect of {EFFECT:g} that just uses the whole budget",
            [ROBUST + EFFECT, ROBUST],
            [ACCURATE - BUDGET, ACCURATE],
            0.0,
        ),
        (f"yes at an effect of {EFFECT:g} without a cost", [ROBUST + EFFECT, ROBUST], [ACCURATE, ACCURATE], 0.0),
        (
            f"yes at an effect of {EFFECT:g} that gains {100 * BUDGET:g} points of accuracy",
            [ROBUST + EFFECT, ROBUST],
            [ACCURATE + BUDGET, ACCURATE],
            0.0,
        ),
    )
    rates = []
    for seeds in (3, 5, 8):
        for what, robust, accurate, own in cases:
            rng = np.random.default_rng([seeds, len(what)])
            count = sum(
                answered_with_yes(draw(rng, robust, seeds, own_images=own), draw(rng, accurate, seeds, own_images=own))
                for _ in range(repeats)
            )
            rates.append(Rate(f"{what}, {seeds} seeds", count, repeats))
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    parts: list[tuple[str, Callable[[int], list[Rate]]]] = [("Star", star_rates), ("Claim", claim_rates)]
    text = "\n".join(
        f"### {title}\n\n{markdown(['event', 'share', '95 % interval'], [rate.row for rate in rates(given.repeats)])}\n"
        for title, rates in parts
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "false-positives.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
