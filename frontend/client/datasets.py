"""Data sets: what is ready, preparing, registering, and their images."""

from collections.abc import Mapping, Sequence
from typing import IO, Any

from backend.shared.contracts import (
    ArchiveRequest,
    Dataset,
    DatasetSample,
    Deleted,
    PrepareRequest,
    RegisterRequest,
    SamplesFound,
    Task,
    Upload,
)
from frontend.client.both import both
from frontend.client.sending import Listing, Sender


class DatasetRoutes(Sender):
    @both
    async def datasets(self) -> Listing[Dataset]:
        return await self._list(Dataset, "/api/v1/datasets")

    @both
    async def dataset(self, key: str) -> Dataset:
        return await self._get(Dataset, f"/api/v1/datasets/{key}")

    @both
    async def samples(
        self, key: str, *, split: str = "test", indices: Sequence[int] | None = None, label: int | None = None,
        offset: int | None = None, limit: int = 50, cursor: str | None = None, data_seed: int | None = None,
    ) -> Listing[DatasetSample]:
        """Images of a split: the given indices, or a page of them, of one class if asked."""
        query = {"split": split, "index": indices, "label": label, "offset": offset, "limit": limit,
                 "cursor": cursor, "data_seed": data_seed}
        return await self._list(DatasetSample, f"/api/v1/datasets/{key}/samples", query)

    @both
    async def prepare_dataset(self, key: str, params: Mapping[str, Any] | None = None) -> Task:
        """Prepares the data set with these parameters; those left out take the catalog's defaults."""
        body = PrepareRequest(params=dict(params or {}))
        return await self._post(Task, f"/api/v1/datasets/{key}/prepare", body)

    @both
    async def remove_dataset(self, key: str) -> Deleted:
        """Removes its prepared forms and what was downloaded; a registered one altogether."""
        return await self._delete(Deleted, f"/api/v1/datasets/{key}")

    @both
    async def register(self, request: RegisterRequest) -> Task:
        """Makes a data set of images in the data folder."""
        return await self._post(Task, "/api/v1/registrations", request)

    @both
    async def register_archive(self, request: ArchiveRequest, name: str, archive: IO[bytes]) -> Task:
        """Makes a data set of images in a zip archive, which is sent as it is read."""
        answer = await self._send("POST", "/api/v1/registrations/archive", files={"archive": (name, archive)},
                                  form={"request": request.model_dump_json()})
        return self._read(Task, answer)

    @both
    async def browse(
        self, runs: Sequence[int], *, label: int | None = None, group: int | None = None, only: str = "all",
        worst: str | None = None, limit: int | None = None, cursor: str | None = None,
    ) -> SamplesFound:
        """A page of the test images that pass the filters, by what the runs say of them."""
        query = {"run": runs, "label": label, "group": group, "only": only, "worst": worst, "limit": limit,
                 "cursor": cursor}
        return await self._get(SamplesFound, "/api/v1/samples", query)

    @both
    async def upload_image(self, content: bytes, dataset: str) -> Upload:
        """Keeps the pixels of a PNG, JPEG or WebP image, fitted to the data set's shape."""
        answer = await self._send("POST", "/api/v1/uploads", query={"dataset": dataset}, content=content)
        return self._read(Upload, answer)

    @both
    async def upload(self, upload: int) -> Upload:
        return await self._get(Upload, f"/api/v1/uploads/{upload}")
