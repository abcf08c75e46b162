"""Runs: listing, control, curves, logs, files and evaluations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Unpack

from densitylab.backend.shared.contracts import (
    Artifact,
    BulkAnswer,
    BulkRequest,
    Deleted,
    Evaluation,
    EvaluationSpec,
    LogLine,
    MetricSeries,
    Run,
    RunPatch,
    SampleValues,
)
from densitylab.frontend.client.arrays import read_arrays
from densitylab.frontend.client.downloads import whole_content
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.run_filters import RunFilters
from densitylab.frontend.client.transport import Listing, Sender, every

if TYPE_CHECKING:
    import numpy as np


class RunRoutes(Sender):
    @sync_and_async
    async def runs(
        self,
        *,
        sort: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        total: bool = False,
        **filters: Unpack[RunFilters],
    ) -> Listing[Run]:
        """Return a page of the runs that match the filters (`RunFilters`), newest first by default.

        Args:
            sort: id, created_at, status, progress, lambda_, results.NAME or metrics.NAME; -NAME: descending.
            limit: at most 200.
            total: also count all runs that match.
        """
        query = {**filters, "sort": sort, "limit": limit, "cursor": cursor, "total": total or None}
        return await self._list(Run, "/api/v1/runs", query)

    @sync_and_async
    async def run_fields(
        self,
        fields: Sequence[str],
        *,
        sort: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        **filters: Unpack[RunFilters],
    ) -> Listing[dict[str, object]]:
        """Return a page like `runs`, but of each run only these fields, by their names."""
        query = {**filters, "fields": fields, "sort": sort, "limit": limit, "cursor": cursor}
        return await self._list(dict[str, object], "/api/v1/runs/fields", query)

    @sync_and_async
    async def runs_of(self, experiment: int) -> list[Run]:
        """Return all runs of an experiment but archived ones, oldest first."""
        listed = [run async for run in every(self.runs, experiment=experiment, limit=200)]
        return sorted(listed, key=lambda run: run.id)

    @sync_and_async
    async def run(self, run: int) -> Run:
        return await self._get(Run, f"/api/v1/runs/{run}")

    @sync_and_async
    async def change_run(self, run: int, patch: RunPatch) -> Run:
        return await self._patch(Run, f"/api/v1/runs/{run}", patch)

    @sync_and_async
    async def delete_run(self, run: int) -> Deleted:
        return await self._delete(Deleted, f"/api/v1/runs/{run}")

    @sync_and_async
    async def cancel_run(self, run: int) -> Run:
        return await self._post(Run, f"/api/v1/runs/{run}/cancel")

    @sync_and_async
    async def retry_run(self, run: int) -> Run:
        return await self._post(Run, f"/api/v1/runs/{run}/retry")

    @sync_and_async
    async def act_on_runs(self, request: BulkRequest) -> BulkAnswer:
        """Apply one action to many runs; with `dry_run`, return its effect and the space it would free."""
        return await self._post(BulkAnswer, "/api/v1/bulk/runs", request)

    @sync_and_async
    async def runs_csv(self, *, sort: str | None = None, **filters: Unpack[RunFilters]) -> str:
        """Return all matching runs as CSV. Column names are dotted paths into a run."""
        return (await self._send("GET", "/api/v1/runs.csv", query={**filters, "sort": sort})).text

    @sync_and_async
    async def run_table(
        self,
        table: Literal["runs", "results", "curves"],
        format: Literal["parquet", "arrow"] = "parquet",
        *,
        sort: str | None = None,
        **filters: Unpack[RunFilters],
    ) -> bytes:
        """Return a file with a row per matching run, per result of these runs, or per point of their curves."""
        return (await self._send("GET", f"/api/v1/{table}.{format}", query={**filters, "sort": sort})).content

    @sync_and_async
    async def metrics(
        self,
        run: int,
        *,
        names: Sequence[str] | None = None,
        since: int | None = None,
        max_points: int | None = None,
    ) -> list[MetricSeries]:
        """Return curves of a run: the named ones, or all; points after step `since`, thinned to `max_points` each
        (10,000 unless given)."""
        query = {"names": names, "since": since, "max_points": max_points}
        return (await self._list(MetricSeries, f"/api/v1/runs/{run}/metrics", query)).items

    @sync_and_async
    async def metrics_of(
        self, runs: Sequence[int], names: Sequence[str], *, max_points: int | None = None
    ) -> list[MetricSeries]:
        """Return curves of at most 200 runs in one answer."""
        query = {"run": runs, "names": names, "max_points": max_points}
        return (await self._list(MetricSeries, "/api/v1/metrics", query)).items

    @sync_and_async
    async def log(self, run: int, *, after: int | None = None, q: str | None = None, limit: int = 200) -> list[LogLine]:
        """Return the last lines, or the lines after the one with id `after`, in order."""
        return (await self._list(LogLine, f"/api/v1/runs/{run}/log", {"after": after, "q": q, "limit": limit})).items

    @sync_and_async
    async def log_text(self, run: int, *, q: str | None = None) -> str:
        """Return the whole log as text with times and levels; with `q`, only lines that contain it."""
        return (await self._send("GET", f"/api/v1/runs/{run}/log.txt", query={"q": q})).text

    @sync_and_async
    async def artifacts(self, run: int) -> list[Artifact]:
        return (await self._list(Artifact, f"/api/v1/runs/{run}/artifacts")).items

    @sync_and_async
    async def artifact(self, run: int, name: str) -> bytes:
        """Return the content of a file. Raises ApiError, also if it changed on its way here."""
        return whole_content(await self._send("GET", f"/api/v1/runs/{run}/artifacts/{name}"))

    @sync_and_async
    async def artifact_arrays(self, run: int, name: str) -> "dict[str, np.ndarray]":
        """Return the arrays of an NPZ file of an evaluation, such as accuracy.npz; docs/evaluations.md lists them.

        Raises ApiError, and ValueError if the file is not an NPZ file.
        """
        return read_arrays(await self.artifact(run, name))

    @sync_and_async
    async def evaluations(self, run: int) -> list[Evaluation]:
        return (await self._list(Evaluation, f"/api/v1/runs/{run}/evaluations")).items

    @sync_and_async
    async def evaluate(self, run: int, evaluation: EvaluationSpec) -> Evaluation:
        """Evaluate a trained run once more."""
        return await self._make(Evaluation, f"/api/v1/runs/{run}/evaluations", evaluation)

    @sync_and_async
    async def sample_values(
        self,
        run: int,
        evaluation: str,
        array: str,
        *,
        equals: float | None = None,
        order: str = "index",
        limit: int = 50,
    ) -> SampleValues:
        """Return the test images behind a result; `order` is "index", "lowest" or "highest"."""
        query = {"array": array, "equals": equals, "order": order, "limit": limit}
        return await self._get(SampleValues, f"/api/v1/runs/{run}/evaluations/{evaluation}/samples", query)
