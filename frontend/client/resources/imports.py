"""Models that were trained elsewhere: inspection and import of their files."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any

from densitylab.backend.shared.contracts import (
    Component,
    ImportRequest,
    Inspection,
    InspectRequest,
    Misfits,
    Run,
    Status,
    Task,
)
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.errors import WeightsDoNotFit
from densitylab.frontend.client.resources.runs import RunRoutes
from densitylab.frontend.client.resources.system import Progress, SystemRoutes, require_success


class ImportRoutes(SystemRoutes, RunRoutes):
    @sync_and_async
    async def inspect_file(self, file: IO[bytes], name: str, request: InspectRequest | None = None) -> Task:
        """Upload a model file, which can be read again from its beginning, to have it inspected; return the task."""
        form = {"request": (request or InspectRequest()).model_dump_json()}
        return await self._make(Task, "/api/v1/models/inspect", files={"file": (name, file)}, form=form)

    @sync_and_async
    async def inspection(self, inspection: int) -> Inspection:
        """Return what a file contains, once its inspection has succeeded."""
        return await self._get(Inspection, f"/api/v1/models/inspections/{inspection}")

    @sync_and_async
    async def misfits(self, task: int) -> Misfits:
        """Return the weights that made an import fail, because they do not fit the network; none if it did not fail
        so."""
        return await self._get(Misfits, f"/api/v1/models/imports/{task}/misfits")

    @sync_and_async
    async def request_import(self, request: ImportRequest, file: IO[bytes] | None = None, name: str = "model") -> Task:
        """Import a model; return the task, whose `run` exists once it has succeeded.

        Args:
            request: names the data set and the network.
            file: of its weights, which can be read again from its beginning; None: the `upload` of the request, or the
                network's published weights.
            name: of the file.
        """
        if file is None:
            return await self._make(Task, "/api/v1/models", request)
        form = {"request": request.model_dump_json()}
        return await self._make(Task, "/api/v1/models/file", files={"file": (name, file)}, form=form)

    @sync_and_async
    async def inspect_model(
        self,
        path: str | PathLike[str],
        *,
        dataset: str | Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Inspection:
        """Upload a model file and return what it contains. The upload is kept for a day: `import_model(None,
        upload=inspection.id, ...)` imports it.

        Args:
            path: of safetensors or a PyTorch checkpoint.
            dataset: key of the data set, or its key and params, whose images and classes the file should fit; None:
                networks of the catalog are not compared.
            progress: called with the task after each request.

        Raises:
            ApiError: refused, no answer came, or the file can't be imported.
            OSError: the file can't be read.
        """
        wanted = InspectRequest(dataset=None if dataset is None else _component(dataset))
        with Path(path).open("rb") as file:
            task = await self.inspect_file(file, Path(path).name, wanted)
        ended = await self._ended(task, progress)
        require_success(ended)
        return await self.inspection(ended.id)

    @sync_and_async
    async def import_model(
        self,
        path: str | PathLike[str] | None,
        *,
        dataset: str | Mapping[str, Any],
        model: str | Mapping[str, Any],
        progress: Progress | None = None,
        **fields: Any,
    ) -> Run:
        """Import a model that was trained elsewhere, and return its run. Its evaluations follow: `wait(runs=[run.id])`.

        Args:
            path: of safetensors or a PyTorch checkpoint; None: the inspected file `upload`, or published weights.
            dataset: key of the data set to evaluate it on, or its key and params.
            model: key of the network's catalog entry, or its key and params.
            progress: called with the task after each request.
            fields: further ones of ImportRequest, such as normalization="imagenet", class_names=[...], lambda_=0.1,
                source="a paper", partial=True, evaluations=[{"key": "pgd_linf"}].

        Raises:
            ApiError: refused, no answer came, or the import failed.
            WeightsDoNotFit: an ApiError whose `misfits` lists the weights that do not.
            ValidationError: a field is wrong.
            OSError: the file can't be read.
        """
        request = ImportRequest.model_validate({"dataset": _component(dataset), "model": _component(model), **fields})
        if path is None:
            task = await self.request_import(request)
        else:
            with Path(path).open("rb") as file:
                task = await self.request_import(request, file, Path(path).name)
        ended = await self._ended(task, progress)
        if ended.status is Status.FAILED and (misfits := await self.misfits(task.id)).total:
            raise WeightsDoNotFit(ended.error or "The weights do not fit.", misfits)
        require_success(ended)
        return await self.run(request.run or ended.run or 0)


def _component(given: str | Mapping[str, Any]) -> Component:
    return Component(key=given) if isinstance(given, str) else Component.model_validate(dict(given))
