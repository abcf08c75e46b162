"""Attribution maps of images, and the density around an image."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from densitylab.backend.shared.contracts import (
    Attribution,
    AttributionCost,
    AttributionRequest,
    Density,
    DensityRequest,
)
from densitylab.frontend.client.arrays import read_arrays
from densitylab.frontend.client.downloads import whole_content
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.transport import Sender

if TYPE_CHECKING:
    import numpy as np

POLL_SECONDS = 0.25


class MapRoutes(Sender):
    @sync_and_async
    async def attribute(self, request: AttributionRequest | Mapping[str, Any]) -> Attribution:
        """Request maps. Known maps are returned at once; ask `attribution` for others until they are done."""
        return await self._make(Attribution, "/api/v1/attributions", request)

    @sync_and_async
    async def draw(self, request: AttributionRequest | Mapping[str, Any], *, timeout: float = 60.0) -> Attribution:
        """Request maps and wait until their status is final, but no longer than `timeout` seconds.

        `attribution_arrays` returns the arrays of maps that succeeded.
        """
        answer = await self.attribute(request)
        deadline = time.monotonic() + timeout
        while not answer.status.final and time.monotonic() < deadline:
            await self._connection.sleep(POLL_SECONDS)
            answer = await self.attribution(answer.id)
        return answer

    @sync_and_async
    async def attribution_cost(self, request: AttributionRequest | Mapping[str, Any]) -> AttributionCost:
        """Return the estimated cost of maps, without computing them."""
        return await self._post(AttributionCost, "/api/v1/attributions/preflight", request)

    @sync_and_async
    async def attribution(self, attribution: int) -> Attribution:
        return await self._get(Attribution, f"/api/v1/attributions/{attribution}")

    @sync_and_async
    async def attribution_file(self, attribution: int) -> bytes:
        """Return the raw maps as the bytes of an NPZ file. Raises ApiError, also if it changed on its way here."""
        return whole_content(await self._send("GET", f"/api/v1/attributions/{attribution}/arrays"))

    @sync_and_async
    async def attribution_arrays(self, attribution: int) -> "dict[str, np.ndarray]":
        """Return the raw maps of R runs and N images.

        Returns:
            `images` (N, C, H, W), uint8 or [0, 1]; `labels` (N,); `attributions` (R, N, C, H, W); `predicted` and
            `confidence` (R, N); for data with masks, `masks` (N, 1 or C, H, W), true on the null block; for a request
            with a perturbation, `perturbed_images` and `perturbed_attributions` (R, N, C, H, W).
        """
        return read_arrays(await self.attribution_file(attribution))

    @sync_and_async
    async def slice_density(self, request: DensityRequest) -> Density:
        """Request log p along a line and on a plane through an image; ask `density` until it is done."""
        return await self._make(Density, "/api/v1/densities", request)

    @sync_and_async
    async def density(self, density: int) -> Density:
        return await self._get(Density, f"/api/v1/densities/{density}")
