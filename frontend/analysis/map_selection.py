"""The choice of one model per group, for saliency maps side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts import Run, Status
from densitylab.backend.shared.statistics.groups import Group


@dataclass(frozen=True)
class MapSelection:
    """The runs whose maps are drawn, and the groups that are not among them."""

    runs: list[Run]
    without_model: int  # groups of which no run succeeded
    left_out: int  # groups beyond the largest number

    @property
    def text(self) -> str:
        """The groups that are left out, in a sentence; empty: none."""
        parts = [
            *([f"{self.left_out} beyond the {len(self.runs)} that fit"] if self.left_out else []),
            *([f"{self.without_model} without a trained model"] if self.without_model else []),
        ]
        return f"Groups not shown: {', '.join(parts)}." if parts else ""


def one_of_each(groups: Sequence[Group], most: int) -> MapSelection:
    """Return the first succeeded seed of every group, in the order of the groups. Of too many groups the baselines are
    kept, and others spread over the rest.

    Args:
        groups: baselines first, as `group_runs` returns them.
        most: the largest number of runs.
    """
    first = [(group, run) for group in groups if (run := _first(group)) is not None]
    baselines = [item for item in first if item[0].is_baseline][:most]
    others = [item for item in first if not item[0].is_baseline]
    chosen = {id(group) for group, _ in [*baselines, *_spread(others, most - len(baselines))]}
    runs = [run for group, run in first if id(group) in chosen]
    return MapSelection(runs, len(groups) - len(first), len(first) - len(runs))


def _first(group: Group) -> Run | None:
    trained = [run for run in group.runs if run.status is Status.SUCCEEDED]
    return min(trained, key=lambda run: (run.spec.seed, run.id), default=None)


def _spread(items: Sequence[tuple[Group, Run]], most: int) -> list[tuple[Group, Run]]:
    """Return at most `most` of the items, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / max(most - 1, 1))] for index in range(most)]
