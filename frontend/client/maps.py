"""Maps of images under runs, and the density around an image."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from backend.shared.contracts import (
    Attribution,
    AttributionCost,
    AttributionRequest,
    Density,
    DensityRequest,
)
from frontend.client.arrays import read_arrays
from frontend.client.both import both
from frontend.client.sending import Sender

POLL_SECONDS = 0.25


class MapRoutes(Sender):
    @both
    async def attribute(self, request: AttributionRequest | Mapping[str, Any]) -> Attribution:
        """Asks for maps; those asked for before come back at once, others are awaited by `attribution`."""
        return await self._post(Attribution, "/api/v1/attributions", request)

    @both
    async def draw(self, request: AttributionRequest | Mapping[str, Any], *, timeout: float = 60.0) -> Attribution:
        """Asks for maps and waits for them: the answer once its status is final, or as it is after `timeout` seconds.
        Its arrays are had by `attribution_arrays` where it has succeeded."""
        answer = await self.attribute(request)
        deadline = time.monotonic() + timeout
        while not answer.status.final and time.monotonic() < deadline:
            await self._connection.sleep(POLL_SECONDS)
            answer = await self.attribution(answer.id)
        return answer

    @both
    async def attribution_cost(self, request: AttributionRequest | Mapping[str, Any]) -> AttributionCost:
        """What those maps would cost; nothing is drawn."""
        return await self._post(AttributionCost, "/api/v1/attributions", request, {"dry_run": True})

    @both
    async def attribution(self, attribution: int) -> Attribution:
        return await self._get(Attribution, f"/api/v1/attributions/{attribution}")

    @both
    async def attribution_file(self, attribution: int) -> bytes:
        """The raw maps, as the bytes of an NPZ file."""
        return (await self._send("GET", f"/api/v1/attributions/{attribution}/arrays")).content

    @both
    async def attribution_arrays(self, attribution: int) -> dict[str, np.ndarray]:
        """The raw maps of R runs and N images.

        Returns:
            `images` (N, C, H, W), uint8 or [0, 1]; `labels` (N,); `attributions` (R, N, C, H, W); `predicted` and
            `confidence` (R, N); where the data has masks, `masks` (N, 1 or C, H, W), true on the null part; where a
            perturbation was asked for, `perturbed_images` and `perturbed_attributions` (R, N, C, H, W).
        """
        return read_arrays(await self.attribution_file(attribution))

    @both
    async def slice_density(self, request: DensityRequest) -> Density:
        """log p along a line and on a plane through an image; awaited by `density`."""
        return await self._post(Density, "/api/v1/densities", request)

    @both
    async def density(self, density: int) -> Density:
        return await self._get(Density, f"/api/v1/densities/{density}")
