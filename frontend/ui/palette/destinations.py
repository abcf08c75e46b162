"""Where the command palette leads: pages, experiments and runs, by what a user types."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from densitylab.frontend.client import ApiClient

NEWEST = 100  # experiments and runs that are listed by name; the others are found by their number


@dataclass(frozen=True)
class Destination:
    """A line of the palette: what it says, and the page that it opens."""

    label: str
    page: str  # the name of its file in app_pages
    query: dict[str, str]


PAGES = (
    ("Home", "home"),
    ("Launch an experiment", "launch"),
    ("Experiments", "experiments"),
    ("Runs", "runs"),
    ("Studies: run one of the paper's experiments", "studies"),
    ("Compare", "compare"),
    ("Saliency", "saliency"),
    ("Stability", "stability"),
    ("Density", "density"),
    ("λ slider: one image under every λ", "lambda_slider"),
    ("Models: import a checkpoint", "models"),
    ("Data: register images of your own", "datasets"),
    ("System: workers, queues, disk", "system"),
)
NUMBERED = (  # offered for a number that is typed
    ("Run {}", "run", "run"),
    ("Experiment {}", "experiment", "experiment"),
    ("Compare experiment {}", "compare", "experiment"),
    ("λ slider of experiment {}", "lambda_slider", "experiment"),
    ("Saliency of run {}", "saliency", "runs"),
    ("Launch again: a copy of run {}", "launch", "clone"),
)


def pages() -> list[Destination]:
    """Return the pages."""
    return [Destination(label, page, {}) for label, page in PAGES]


def newest(client: ApiClient) -> Iterator[Destination]:
    """Yield the newest experiments, each with its comparison, and the newest runs."""
    for experiment in client.experiments(limit=NEWEST).items:
        number = {"experiment": str(experiment.id)}
        yield Destination(f"Experiment {experiment.id} · {experiment.name}", "experiment", number)
        yield Destination(f"Compare experiment {experiment.id} · {experiment.name}", "compare", number)
    for run in client.runs(limit=NEWEST, sort="-id").items:
        settings = f"{run.spec.model.key} · {run.spec.regularizer.key} · seed {run.spec.seed}"
        named = f"{run.name} · " if run.name else ""
        yield Destination(f"Run {run.id} · {named}{settings}", "run", {"run": str(run.id)})


def as_json(destinations: list[Destination]) -> list[dict[str, object]]:
    """Return what the palette's script reads."""
    return [asdict(destination) for destination in destinations]
