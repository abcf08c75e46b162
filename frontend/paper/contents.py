"""Tables, figures and claims of a paper, before they are typeset or drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.contracts.comparisons import Verdict
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.backend.shared.statistics.selection import Edge


@dataclass(frozen=True)
class PaperCell:
    """A mean over seeds."""

    mean: Estimate | None  # None: not measured
    best: bool = False  # the best of its column, and apart from all others after Holm's correction


@dataclass(frozen=True)
class PaperRow:
    """A group of runs that differ only in the seed."""

    method: str
    lambda_: float | None  # None: no λ is within the budget of accuracy, or it is not known
    edge: Edge | None  # where a selected λ is an end of the candidates
    runs: Sequence[int]
    cells: Sequence[PaperCell]  # one for each column

    @property
    def seeds(self) -> int:
        """The largest number of seeds behind a mean."""
        return max((cell.mean.n for cell in self.cells if cell.mean), default=0)


@dataclass(frozen=True)
class PaperTable:
    """A table of means over seeds."""

    key: str  # name of its files
    title: str
    results: Sequence[str]  # of the columns, `<evaluation name>.<value name>`
    labels: Sequence[str]  # of the columns, in words
    rows: Sequence[PaperRow]
    images: Sequence[int | None]  # of the columns: number of test images; None: not counted in images, or not known
    notes: Sequence[str]  # sentences of the caption, such as how λ was selected


@dataclass(frozen=True)
class PaperPoint:
    """A point of a line: a result over another one or over a setting."""

    x: Estimate | float | str  # a mean over seeds, or the value of a setting
    y: Estimate
    lambda_: float | None
    runs: Sequence[int]
    dominated: bool | None = None  # whether another point is at least as good in x and y; None: not known


@dataclass(frozen=True)
class PaperPanel:
    """A launch of a figure, with its lines by label."""

    title: str
    lines: Mapping[str, Sequence[PaperPoint]]


@dataclass(frozen=True)
class PaperFigure:
    """A figure with a panel for each launch."""

    key: str  # name of its files
    title: str
    x_label: str
    y_label: str
    panels: Sequence[PaperPanel]


@dataclass(frozen=True)
class PaperClaim:
    """A claim with its answer."""

    text: str
    about: str  # name of the launch
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Paper:
    """Everything that is exported for a paper, with the runs behind it."""

    title: str
    tables: Sequence[PaperTable]
    figures: Sequence[PaperFigure]
    runs: Sequence[Run]
    claims: Sequence[PaperClaim] = ()
    settings: Sequence[tuple[str, str, str]] = ()  # of a study: name, its own, the paper's
    notes: Sequence[str] = ()
    question: str = ""  # of a study
    colors: Mapping[str, str] = field(default_factory=dict)  # of lines by label; others take the palette's in order
