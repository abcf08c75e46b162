"""The choice of one model per group, for saliency maps side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts import Run, Status
from densitylab.backend.shared.statistics.groups import Group
from densitylab.frontend.analysis.formatting import counted


@dataclass(frozen=True)
class MapSelection:
    """The runs whose maps are drawn, and the groups that are not among them."""

    runs: list[Run]
    without_model: int  # groups of which no run succeeded with a checkpoint
    left_out: int  # groups beyond the largest number

    @property
    def groups_text(self) -> str:
        """The number of groups that are shown, and of all: such as "6 of 7 groups"."""
        shown, total = len(self.runs), len(self.runs) + self.left_out + self.without_model
        return counted(shown, "group") if shown == total else f"{shown} of {counted(total, 'group')}"

    @property
    def text(self) -> str:
        """The groups that are left out, in a sentence; empty: none."""
        parts = [
            *([f"{self.left_out} beyond the {len(self.runs)} that fit"] if self.left_out else []),
            *([f"{self.without_model} without a trained model"] if self.without_model else []),
        ]
        return f"Groups not shown: {', '.join(parts)}." if parts else ""


def one_of_each(
    groups: Sequence[Group], most: int, *, is_baseline: Callable[[Group], bool] = lambda group: group.is_baseline
) -> MapSelection:
    """Return the first succeeded seed of every group, in the order of the groups. Of too many groups the baselines are
    kept, and others spread over the rest.

    Args:
        groups: of which maps are drawn.
        most: the largest number of runs.
        is_baseline: whether others are compared with a group; default: those without a penalty.
    """
    first = [(group, run) for group in groups if (run := _first(group)) is not None]
    baselines = [item for item in first if is_baseline(item[0])][:most]
    others = [item for item in first if not is_baseline(item[0])]
    chosen = {id(group) for group, _ in [*baselines, *_spread(others, most - len(baselines))]}
    runs = [run for group, run in first if id(group) in chosen]
    return MapSelection(runs, len(groups) - len(first), len(first) - len(runs))


def _first(group: Group) -> Run | None:
    trained = [run for run in group.runs if run.status is Status.SUCCEEDED and run.checkpoint_step is not None]
    return min(trained, key=lambda run: (run.spec.seed, run.id), default=None)


def _spread(items: Sequence[tuple[Group, Run]], most: int) -> list[tuple[Group, Run]]:
    """Return at most `most` of the items, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / max(most - 1, 1))] for index in range(most)]
