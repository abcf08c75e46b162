"""The first lines of a report: what was trained and compared, and what was found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts import Origin
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.analysis.origins import seed_of
from densitylab.frontend.analysis.setting_names import setting_label
from densitylab.frontend.analysis.summary import summary_sentences
from densitylab.frontend.report.evidence import Evidence

MAX_LINES = 10
_MAX_VALUES = 6  # of a setting that differs, in a line


@dataclass(frozen=True)
class Line:
    """A line of the opening."""

    name: str
    text: str


def opening(evidence: Evidence, warnings: int) -> tuple[list[Line], list[Line]]:
    """Return the set-up and the findings, in at most ten lines.

    Args:
        evidence: of the report.
        warnings: their number.
    """
    setup = list(_setup(evidence))
    comparison, catalog = evidence.comparison, evidence.catalog
    sentences = summary_sentences(comparison, evidence.columns, catalog)
    findings = [Line(result, sentence) for result, sentence in sentences]
    if not findings:
        some = any(run.results for run in evidence.runs)
        findings = [Line("Results", "nothing to compare: one group has results." if some else "none yet.")]
    limits = f"{counted(warnings, 'sentence')} below on what limits these findings."
    end = [Line("Warnings", limits)] if warnings else []
    room = MAX_LINES - len(setup) - len(end)
    if len(findings) > room:
        findings = [*findings[: room - 1], Line("More", "the other results are in the table below.")]
    return setup, findings + end


def _setup(evidence: Evidence) -> Iterator[Line]:
    runs, catalog = evidence.runs, evidence.catalog
    datasets = dict.fromkeys(catalog.label("dataset", run.spec.dataset.key) for run in runs)
    models = dict.fromkeys(catalog.label("model", run.spec.model.key) for run in runs)
    yield Line("Data and network", f"{_some(list(datasets))}; {_some(list(models))}.")
    groups, seeds = evidence.comparison.groups, sorted({seed for run in runs if (seed := seed_of(run)) is not None})
    text = f"{counted(len(groups), 'group')} of {counted(len(runs), 'run')}"
    yield Line(
        "Compared", text + (f", {counted(len(seeds), 'seed')} ({_some(list(map(str, seeds)))})." if seeds else ".")
    )
    if differing := list(_differing(evidence)):
        yield Line("Varied", f"{'; '.join(differing)}.")
    trained = [run.spec for run in runs if run.origin is Origin.TRAINED]
    if trained:
        epochs = "/".join(f"{number}" for number in sorted({spec.epochs for spec in trained}))
        optimizers = dict.fromkeys(catalog.label("optimizer", spec.optimizer.key) for spec in trained)
        sizes = "/".join(f"{number}" for number in sorted({spec.batch_size for spec in trained}))
        yield Line("Training", f"{epochs} epochs, {_some(list(optimizers))}, batches of {sizes}.")


def _differing(evidence: Evidence) -> Iterator[str]:
    """Yield each setting that differs between the groups, with its values."""
    comparison, catalog = evidence.comparison, evidence.catalog
    for name in comparison.varied:
        texts = dict.fromkeys(
            comparison.setting_text(name, group, catalog) for group in comparison.groups if name in group.settings
        )
        if len(texts) > 1:
            settings = next(group.settings for group in comparison.groups if name in group.settings)
            yield f"{setting_label(name, settings, catalog)}: {_some(list(texts))}"


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _MAX_VALUES
    return ", ".join(texts[:_MAX_VALUES]) + (f" and {more} more" if more > 0 else "")
