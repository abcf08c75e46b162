"""Runs launched together."""

import uuid
from collections.abc import Mapping
from typing import Any

from backend.shared.contracts import (
    AddedRuns,
    Deleted,
    Experiment,
    ExperimentPatch,
    ExperimentRequest,
    Preflight,
    RunsRequest,
)
from frontend.client.both import both
from frontend.client.sending import Listing, Sender


class ExperimentRoutes(Sender):
    @both
    async def launch(
        self, request: ExperimentRequest | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Experiment:
        """Starts the runs of an experiment.

        Args:
            request: a mapping is sent as it is, and checked by the API alone.
            idempotency_key: the same key and request again within a day gives the first answer again. Unless given it
                is a new one, so that a launch whose answer was lost is tried again without launching twice.

        Raises:
            ApiError: refused, with every wrong field; or no answer came.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._read(Experiment, await self._send("POST", "/api/v1/experiments", body=request, headers=headers))

    @both
    async def preflight(self, request: ExperimentRequest | Mapping[str, Any]) -> Preflight:
        """What a launch would cost; nothing is started."""
        return await self._post(Preflight, "/api/v1/experiments", request, {"dry_run": True})

    @both
    async def add_runs(self, experiment: int, request: RunsRequest) -> AddedRuns:
        """More runs for an experiment: other seeds or λ of what it has, or a sweep over its spec."""
        return await self._post(AddedRuns, f"/api/v1/experiments/{experiment}/runs", request)

    @both
    async def experiments(
        self, *, q: str | None = None, archived: bool = False, limit: int = 50, cursor: str | None = None
    ) -> Listing[Experiment]:
        """A page of experiments, newest first."""
        query = {"q": q, "archived": archived or None, "limit": limit, "cursor": cursor}
        return await self._list(Experiment, "/api/v1/experiments", query)

    @both
    async def experiment(self, experiment: int) -> Experiment:
        return await self._get(Experiment, f"/api/v1/experiments/{experiment}")

    @both
    async def change_experiment(self, experiment: int, patch: ExperimentPatch) -> Experiment:
        return await self._patch(Experiment, f"/api/v1/experiments/{experiment}", patch)

    @both
    async def delete_experiment(self, experiment: int) -> Deleted:
        return await self._delete(Deleted, f"/api/v1/experiments/{experiment}")
