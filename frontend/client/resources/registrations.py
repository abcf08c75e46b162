"""Registration of images of your own, and its preview."""

from os import PathLike
from pathlib import Path
from typing import IO, Any

from densitylab.backend.shared.contracts import (
    ArchiveRequest,
    Dataset,
    PreviewArchiveRequest,
    PreviewRequest,
    RegisterRequest,
    RegistrationPreview,
    Task,
)
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.resources.datasets import DatasetRoutes
from densitylab.frontend.client.resources.system import Progress, SystemRoutes, require_success


class RegistrationRoutes(DatasetRoutes, SystemRoutes):
    @sync_and_async
    async def register(self, request: RegisterRequest) -> Task:
        """Register images in the data folder as a data set."""
        return await self._make(Task, "/api/v1/registrations", request)

    @sync_and_async
    async def register_archive(self, request: ArchiveRequest, name: str, archive: IO[bytes]) -> Task:
        """Register the images of a zip archive as a data set. The archive, a file that can be read again from its
        beginning, is streamed."""
        return await self._make(
            Task,
            "/api/v1/registrations/archive",
            files={"archive": (name, archive)},
            form={"request": request.model_dump_json()},
        )

    @sync_and_async
    async def request_preview(self, request: PreviewRequest) -> Task:
        """Have images in the data folder, of a previewed archive or on the Hugging Face Hub read; return the task."""
        return await self._make(Task, "/api/v1/registrations/preview", request)

    @sync_and_async
    async def request_archive_preview(self, request: PreviewArchiveRequest, name: str, archive: IO[bytes]) -> Task:
        """Upload a zip archive or .npz, which can be read again from its beginning, and have its images read; return
        the task. A registration can name it as its `preview`."""
        return await self._make(
            Task,
            "/api/v1/registrations/preview/archive",
            files={"archive": (name, archive)},
            form={"request": request.model_dump_json()},
        )

    @sync_and_async
    async def registration_preview(self, task: int) -> RegistrationPreview:
        """Return what a registration would store, once its preview has succeeded."""
        return await self._get(RegistrationPreview, f"/api/v1/registrations/previews/{task}")

    @sync_and_async
    async def preview_images(
        self,
        path: str | None = None,
        *,
        archive: str | PathLike[str] | None = None,
        progress: Progress | None = None,
        **fields: Any,
    ) -> RegistrationPreview:
        """Return what a registration of these images would store, and what is wrong with them.

        Args:
            path: of a folder or archive in the system's data folder.
            archive: a zip archive or .npz on this machine, which is uploaded; None: `path`, `preview` or `hub`.
            progress: called with the task after each request.
            fields: further ones of PreviewRequest, such as image_size=[64, 64], columns={"label": "y"},
                pattern="{label}/{place}/*".

        Raises:
            ApiError: refused, no answer came, or the images can't be read.
            ValidationError: a field is wrong.
            OSError: the archive can't be read.
        """
        if archive is None:
            request = PreviewRequest.model_validate({**fields, **({} if path is None else {"path": path})})
            task = await self.request_preview(request)
        else:
            with Path(archive).open("rb") as file:
                of_archive = PreviewArchiveRequest.model_validate(fields)
                task = await self.request_archive_preview(of_archive, Path(archive).name, file)
        require_success(await self._ended(task, progress))
        return await self.registration_preview(task.id)

    @sync_and_async
    async def register_images(
        self,
        label: str,
        path: str | None = None,
        *,
        archive: str | PathLike[str] | None = None,
        progress: Progress | None = None,
        **fields: Any,
    ) -> Dataset:
        """Register images as a data set and return it.

        Args:
            label: name for people, from which the key is derived.
            path: of a folder or archive in the system's data folder.
            archive: a zip archive or .npz on this machine, which is uploaded; None: `path`, `preview` or `hub`.
            progress: called with the task after each request.
            fields: further ones of RegisterRequest; `preview` is the number of a preview with an uploaded archive.

        Raises:
            ApiError: refused, no answer came, or the images are no data set.
            ValidationError: a field is wrong.
            OSError: the archive can't be read.
        """
        if archive is None:
            given = {"label": label, **fields, **({} if path is None else {"path": path})}
            task = await self.register(RegisterRequest.model_validate(given))
        else:
            with Path(archive).open("rb") as file:
                request = ArchiveRequest.model_validate({"label": label, **fields})
                task = await self.register_archive(request, Path(archive).name, file)
        require_success(await self._ended(task, progress))
        listed = (await self.datasets()).items
        return next(item for item in reversed(listed) if item.label == label.strip())
