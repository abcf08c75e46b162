"""TensorBoard: a folder of event files per run. TensorBoard has single precision."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tensorboardX import FileWriter, summary

from densitylab.frontend.client.trackers.record import Record


@contextmanager
def open_folder(folder: Path) -> Iterator[Callable[[Record], None]]:
    """Write an event file per run to `folder/EXPERIMENT/RUN`; `tensorboard --logdir FOLDER` shows them.

    Curves and results are scalars; spec and results are also in the table of hyperparameters; status, flags and
    provenance are text.
    """
    yield lambda record: _write(record, folder)


def _write(record: Record, folder: Path) -> None:
    writer = FileWriter(str(folder / f"experiment-{record.experiment.id}" / f"run-{record.run.id}"))
    try:
        end = record.ended or record.started
        for part in summary.hparams(record.params, record.results):
            writer.add_summary(part, 0, record.started)
        for name, point, at in record.points():
            writer.add_summary(summary.scalar(name, point.value), point.step, at)
        for name, value in record.results.items():
            writer.add_summary(summary.scalar(name, value), record.last_step, end)
        rows = [f"| {name} | {_cell(text)} |" for name, text in record.facts.items()]
        table = "\n".join(["| | |", "| --- | --- |", *rows])
        writer.add_summary(summary.text("run", table), record.last_step, end)
    finally:
        writer.close()


def _cell(text: str) -> str:
    """Return text for a cell of a table in Markdown."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>")
