"""Runs that are trained elsewhere: made, logged to and ended."""

import uuid
from collections.abc import Mapping
from typing import Any

from densitylab.backend.shared.contracts import FinishRequest, LogRequest, PointsReceived, PointsRequest, Run
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.transport import Sender


class LoggedRunRoutes(Sender):
    @sync_and_async
    async def create_logged_run(self, request: LogRequest | Mapping[str, Any]) -> Run:
        """Make a run for a training loop of your own. `densitylab.log_run` does it, and logs in the background."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return self._read(Run, await self._send("POST", "/api/v1/runs", body=request, headers=headers))

    @sync_and_async
    async def log_points(self, run: int, request: PointsRequest | Mapping[str, Any]) -> PointsReceived:
        """Store points of a logged run; a point of the same name and step is replaced."""
        return await self._post(PointsReceived, f"/api/v1/runs/{run}/metrics", request)

    @sync_and_async
    async def finish_logged_run(self, run: int, request: FinishRequest | Mapping[str, Any] | None = None) -> Run:
        """End a logged run; by default it has succeeded."""
        return await self._post(Run, f"/api/v1/runs/{run}/finish", request or {})
