"""Experiments: runs that are launched together."""

from collections.abc import Mapping, Sequence
from typing import Any

from densitylab.backend.shared.contracts import (
    AddedRuns,
    Deleted,
    Experiment,
    ExperimentPatch,
    ExperimentRequest,
    Preflight,
    RunsPreflight,
    RunsRequest,
    SearchProgress,
)
from densitylab.frontend.client.downloads import whole_content
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.transport import Listing, Sender


class ExperimentRoutes(Sender):
    @sync_and_async
    async def launch(
        self,
        request: ExperimentRequest | Mapping[str, Any],
        *,
        init_from: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Experiment:
        """Launch the runs of an experiment.

        Args:
            request: a mapping is sent unchanged, and only the API checks it.
            init_from: the run that all runs start from, in place of the spec's: {"run": 7}, with any of "mode",
                "freeze", "head" and "head_learning_rate_factor".
            idempotency_key: the same key and request within a day give the first answer again. By default a new key, so
                that a launch whose answer was lost can be repeated without launching twice.

        Raises:
            ApiError: refused, with every wrong field; or no answer came.
        """
        if init_from is not None:
            body = request.model_dump(exclude_unset=True) if isinstance(request, ExperimentRequest) else dict(request)
            request = {**body, "spec": {**body.get("spec", {}), "init_from": dict(init_from)}}
        return await self._make(Experiment, "/api/v1/experiments", request, idempotency_key=idempotency_key)

    @sync_and_async
    async def continue_run(self, run: int, epochs: int, *, idempotency_key: str | None = None) -> Experiment:
        """Launch a run that trains another one further, from its full state.

        Args:
            run: that has ended and was trained here.
            epochs: in all, those that it has trained included.
            idempotency_key: see `launch`.

        Raises:
            ApiError: refused, with the reason; or no answer came.
        """
        spec = {"epochs": epochs, "init_from": {"run": run, "mode": "continue"}}
        request = {"name": f"Run {run} continued", "spec": spec}
        return await self._make(Experiment, "/api/v1/experiments", request, idempotency_key=idempotency_key)

    @sync_and_async
    async def preflight(self, request: ExperimentRequest | Mapping[str, Any]) -> Preflight:
        """Return the estimated cost of a launch, without launching."""
        return await self._post(Preflight, "/api/v1/experiments/preflight", request)

    @sync_and_async
    async def add_runs(self, experiment: int, request: RunsRequest) -> AddedRuns:
        """Add runs to an experiment: other seeds or λ of its runs, or a sweep over its spec."""
        return await self._make(AddedRuns, f"/api/v1/experiments/{experiment}/runs", request)

    @sync_and_async
    async def preflight_runs(self, experiment: int, request: RunsRequest) -> RunsPreflight:
        """Return which runs `add_runs` would add, and their estimated cost, without adding them."""
        return await self._post(RunsPreflight, f"/api/v1/experiments/{experiment}/runs/preflight", request)

    @sync_and_async
    async def experiments(
        self,
        *,
        q: str | None = None,
        owner: str | Sequence[str] | None = None,
        archived: bool = False,
        has_model: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Listing[Experiment]:
        """Return a page of experiments, newest first.

        Args:
            q: words in name, notes and tags.
            owner: name of the token that launched them.
            archived: whether only archived ones are returned.
            has_model: whether a run that is not archived has succeeded and has a checkpoint; None: both.
            limit: the largest number of experiments.
            cursor: the `next_cursor` of the page before.
        """
        query = {
            "q": q,
            "owner": owner,
            "archived": archived or None,
            "has_model": has_model,
            "limit": limit,
            "cursor": cursor,
        }
        return await self._list(Experiment, "/api/v1/experiments", query)

    @sync_and_async
    async def experiment(self, experiment: int) -> Experiment:
        return await self._get(Experiment, f"/api/v1/experiments/{experiment}")

    @sync_and_async
    async def search(self, experiment: int) -> SearchProgress:
        """Return what the experiment's search has tried, what comes next, and why."""
        return await self._get(SearchProgress, f"/api/v1/experiments/{experiment}/search")

    @sync_and_async
    async def search_study(self, experiment: int) -> bytes:
        """Return the study of the experiment's search with Optuna as an SQLite file, which `optuna.load_study` and
        Optuna's dashboard read; its name there is `experiment-ID`."""
        return whole_content(await self._send("GET", f"/api/v1/experiments/{experiment}/search/study"))

    @sync_and_async
    async def stop_search(self, experiment: int) -> SearchProgress:
        """End the experiment's search; the runs that it has launched go on."""
        return await self._post(SearchProgress, f"/api/v1/experiments/{experiment}/search/stop")

    @sync_and_async
    async def change_experiment(self, experiment: int, patch: ExperimentPatch) -> Experiment:
        return await self._patch(Experiment, f"/api/v1/experiments/{experiment}", patch)

    @sync_and_async
    async def delete_experiment(self, experiment: int) -> Deleted:
        return await self._delete(Deleted, f"/api/v1/experiments/{experiment}")
