"""Files of runs' models, to take away."""

import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import IO

from densitylab.backend.shared.contracts import ExportFormat, ExportRequest, ModelConfig, Status, Task
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.errors import ApiError
from densitylab.frontend.client.resources.system import SystemRoutes

_POLL_SECONDS = 0.5


class ModelFileRoutes(SystemRoutes):
    @sync_and_async
    async def request_export(self, run: int, formats: Sequence[ExportFormat | str] | None = None) -> Task:
        """Write the run's model to files on a worker: in these formats, or in all; return the task."""
        body = ExportRequest() if formats is None else {"formats": list(formats)}
        return await self._post(Task, f"/api/v1/runs/{run}/exports", body)

    @sync_and_async
    async def model_config(self, run: int) -> ModelConfig:
        """Return how the run's network is built."""
        return await self._get(ModelConfig, f"/api/v1/runs/{run}/config.json")

    @sync_and_async
    async def export_zip(self, run: int) -> bytes:
        """Return the folder of the run's export as a zip archive. Raises ApiError until the weights are exported."""
        return (await self._send("GET", f"/api/v1/runs/{run}/export.zip")).content

    @sync_and_async
    async def export(
        self,
        run: int,
        folder: str | PathLike[str],
        formats: Sequence[ExportFormat | str] | None = None,
        *,
        progress: Callable[[Task], None] | None = None,
    ) -> Path:
        """Export the run's model, and write its files into a folder; return the folder.

        `densitylab.load_model(folder)` loads it, and the Hugging Face Hub takes the folder as it is. Files of the same
        names are replaced. A format that is not possible gives a warning with the reason.

        Args:
            folder: made if it does not exist.
            formats: "safetensors", "onnx" and "torch_export"; None: all. Safetensors are always among them.
            progress: called with the task after each request.

        Raises:
            ApiError: refused, no answer came, or the weights could not be exported.
            OSError: the folder cannot be written.
        """
        wanted = None if formats is None else list(dict.fromkeys([ExportFormat.SAFETENSORS, *formats]))
        task = await self.request_export(run, wanted)
        while not task.status.final:
            if progress is not None:
                progress(task)
            await self._connection.sleep(_POLL_SECONDS)
            task = await self.task(task.id)
        if progress is not None:
            progress(task)
        if task.status is Status.CANCELLED:
            raise ApiError(0, f"The export of run {run} was cancelled.")
        try:
            answer = await self._send("GET", f"/api/v1/runs/{run}/export.zip", stream=True)
        except ApiError:
            if task.error is not None:
                raise ApiError(0, task.error) from None
            raise
        if task.error is not None:
            warnings.warn(task.error, stacklevel=2)
        with tempfile.TemporaryFile() as file:
            async for chunk in self._connection.chunks(answer):
                file.write(chunk)
            return _unpack(file, Path(folder))


def _unpack(file: IO[bytes], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            name = PurePosixPath(entry.filename).name  # beside the others, whatever folder the archive names
            with archive.open(entry) as source, (folder / name).open("wb") as target:
                while chunk := source.read(2**20):
                    target.write(chunk)
    return folder
