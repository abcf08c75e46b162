"""Data sets: status, preparation and images."""

from collections.abc import Mapping, Sequence
from typing import Any

from densitylab.backend.shared.contracts import (
    Dataset,
    DatasetSample,
    Deleted,
    PrepareRequest,
    SamplesFound,
    Task,
    Upload,
)
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.transport import Listing, Sender


class DatasetRoutes(Sender):
    @sync_and_async
    async def datasets(self) -> Listing[Dataset]:
        return await self._list(Dataset, "/api/v1/datasets")

    @sync_and_async
    async def dataset(self, key: str) -> Dataset:
        return await self._get(Dataset, f"/api/v1/datasets/{key}")

    @sync_and_async
    async def samples(
        self,
        key: str,
        *,
        split: str = "test",
        indices: Sequence[int] | None = None,
        label: int | None = None,
        offset: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
        data_seed: int | None = None,
        image_size: int | None = None,
    ) -> Listing[DatasetSample]:
        """Return images of a split: those with the given indices, or a page, optionally of one class."""
        query = {
            "split": split,
            "index": indices,
            "label": label,
            "offset": offset,
            "limit": limit,
            "cursor": cursor,
            "data_seed": data_seed,
            "image_size": image_size,
        }
        return await self._list(DatasetSample, f"/api/v1/datasets/{key}/samples", query)

    @sync_and_async
    async def prepare_dataset(self, key: str, params: Mapping[str, Any] | None = None) -> Task:
        """Prepare a data set with these parameters; others take the catalog's defaults."""
        body = PrepareRequest(params=dict(params or {}))
        return await self._make(Task, f"/api/v1/datasets/{key}/prepare", body)

    @sync_and_async
    async def remove_dataset(self, key: str) -> Deleted:
        """Remove the prepared variants and downloads of a data set; a registered data set is removed completely."""
        return await self._delete(Deleted, f"/api/v1/datasets/{key}")

    @sync_and_async
    async def browse(
        self,
        runs: Sequence[int],
        *,
        label: int | None = None,
        group: int | None = None,
        only: str = "all",
        worst: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> SamplesFound:
        """Return a page of the test images that pass the filters, which refer to predictions of the runs."""
        query = {
            "run": runs,
            "label": label,
            "group": group,
            "only": only,
            "worst": worst,
            "limit": limit,
            "cursor": cursor,
        }
        return await self._get(SamplesFound, "/api/v1/samples", query)

    @sync_and_async
    async def upload_image(self, content: bytes, dataset: str, *, image_size: int | None = None) -> Upload:
        """Upload an image (JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or PPM), which is resized to the data set's shape.

        Args:
            content: the file.
            dataset: its key.
            image_size: of a data set that is prepared in several sizes, the runs' one; None: its default.
        """
        query = {"dataset": dataset, "image_size": image_size}
        return await self._make(Upload, "/api/v1/uploads", query=query, content=content)

    @sync_and_async
    async def upload(self, upload: int) -> Upload:
        return await self._get(Upload, f"/api/v1/uploads/{upload}")
