"""Writes a run's model to files to take away, and tests each file by running it."""

import tempfile
from pathlib import Path

import torch

from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.contracts import ExportFormat, ModelConfig, Status
from densitylab.backend.shared.model_config import UnknownImages, model_config
from densitylab.backend.shared.store import exports, run_artifacts, runs
from densitylab.backend.shared.store.tasks import LeaseLost
from densitylab.worker.errors import Interrupted, out_of_memory
from densitylab.worker.export_formats import onnx_file, safetensors_file, torch_export_file
from densitylab.worker.export_formats.export_format import Format, MissingPackage
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.device import set_threads
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.jobs.models import trained_model
from densitylab.worker.jobs.task_runner import run_task
from densitylab.worker.runtime.lease import Lease

FORMATS: dict[ExportFormat, Format] = {
    ExportFormat.SAFETENSORS: safetensors_file.FORMAT,
    ExportFormat.ONNX: onnx_file.FORMAT,
    ExportFormat.TORCH_EXPORT: torch_export_file.FORMAT,
}
BATCHES = (1, 3)  # sizes that a file is tested with; it is written with 2
SEED = 0


class NotExported(RuntimeError):
    """A model that can't be written in a format; the message is a sentence."""


def run(task_id: int) -> None:
    """Run the export task."""
    run_task(task_id, _export)


def _export(context: Context, lease: Lease) -> None:
    with context.database.read() as session:
        record = runs.get(session, lease.run_id)
        checkpoint = run_artifacts.artifact(session, lease.run_id, run_artifacts.CHECKPOINT)
    if record is None:
        raise LeaseLost(f"run {lease.run_id} is being deleted")
    set_threads(context, record.spec)
    lease.report(stage="loading", progress=0.0)
    model = trained_model(context, record, checkpoint, torch.device("cpu"))
    assert checkpoint is not None  # trained_model needs it
    try:
        config = model_config(context.catalog, record)
    except UnknownImages as error:
        raise JobFailed(str(error)) from error
    formats = [ExportFormat(name) for name in lease.task.payload["formats"]]
    contents: dict[str, bytes] = {}
    problems: list[str] = []
    for number, name in enumerate(formats):
        if lease.should_stop():
            raise Interrupted("the export was stopped")
        lease.report(stage=f"writing {name.file_name}", progress=number / len(formats))
        try:
            contents[name.file_name] = tested(FORMATS[name], name.file_name, model, config)
        except NotExported as error:
            problems.append(str(error))
    stem = exports.stem(record.id, checkpoint.location)
    stored = {}
    for file_name, content in contents.items():
        location = checked_location(f"{stem}-{lease.task.token}.{file_name}", content)
        stored[file_name] = location, context.artifacts.write(location, content)
    with lease.writing() as session:
        replaced = [
            run_artifacts.put_artifact(
                session,
                record.id,
                file_name,
                location=location,
                size=size,
                media_type="application/octet-stream",
                step=checkpoint.step,
            )
            for file_name, (location, size) in stored.items()
        ]
        if problems:
            done = f" Stored: {', '.join(stored)}." if stored else ""
            lease.finish(session, Status.FAILED, " ".join(problems) + done)
        else:
            lease.finish(session, Status.SUCCEEDED)
    for old in replaced:
        if old is not None:
            context.artifacts.delete(old)


def tested(export_format: Format, file_name: str, model: torch.nn.Module, config: ModelConfig) -> bytes:
    """Return the content of the model's file, which gives the model's logits on random images.

    Raises:
        NotExported: a package is missing, the network can't be written, or the file gives other logits.
    """
    generator = torch.Generator().manual_seed(SEED)

    def images(count: int) -> torch.Tensor:
        return torch.rand(count, config.channels, *config.image_size, generator=generator)

    with tempfile.TemporaryDirectory(prefix="densitylab-") as folder:
        path = Path(folder) / file_name
        try:
            export_format.write(model, images(2), path)
            logits = export_format.read(path, config)
            pairs = []
            with torch.no_grad():
                for count in BATCHES:
                    x = images(count)
                    pairs.append((model(x), logits(x)))
        except MissingPackage as missing:
            raise NotExported(
                f"{file_name} needs the package {missing} where the workers run: "
                "pip install 'densitylab[export]' there."
            ) from missing
        except Exception as error:  # each exporter and runtime raises its own
            if out_of_memory(error):
                raise
            raise NotExported(f"{file_name} could not be made: {_first_line(error)}") from error
        for own, exported in pairs:
            difference = _difference(own, exported)
            if not difference <= export_format.tolerance:
                raise NotExported(
                    f"{file_name} was not stored: its logits differ from the model's by {difference:.2g}, and at most "
                    f"{export_format.tolerance:.2g} is expected."
                )
        return path.read_bytes()


def _difference(own: torch.Tensor, exported: torch.Tensor) -> float:
    """Return the largest difference of a logit, relative to the largest logit where that is above 1; NaN and infinity
    agree with themselves."""
    if own.shape != exported.shape:
        return float("inf")
    own, exported = own.double(), exported.double()
    same = (own == exported) | (own.isnan() & exported.isnan())
    scale = own[own.isfinite()].abs().max().clamp(min=1.0) if own.isfinite().any() else torch.ones(())
    return float(torch.where(same, 0.0, (own - exported).abs() / scale).max())


def _first_line(error: Exception) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return first if len(first) <= 300 else f"{first[:300]}…"
