"""Runs: their listing, their life, their curves, logs, files and measures."""

from collections.abc import Sequence

import numpy as np

from backend.shared.contracts import (
    Artifact,
    BulkAnswer,
    BulkRequest,
    Deleted,
    Evaluation,
    EvaluationSpec,
    LogLine,
    MeasuredSamples,
    MetricSeries,
    Run,
    RunPatch,
)
from frontend.client.arrays import read_arrays
from frontend.client.both import both
from frontend.client.sending import Listing, Sender, every


class RunRoutes(Sender):
    @both
    async def runs(
        self, *, experiment: int | None = None, status: str | None = None, dataset: str | None = None,
        model: str | None = None, regularizer: str | None = None, tag: str | None = None, q: str | None = None,
        archived: bool = False, sort: str | None = None, limit: int = 50, cursor: str | None = None,
    ) -> Listing[Run]:
        """A page of runs, newest first unless sorted otherwise.

        Args:
            archived: those that are archived, and not the others.
            sort: id, created_at, status, progress, lambda_, results.NAME or metrics.NAME; with - before it descending.
            limit: at most 200.
        """
        query = {
            "experiment": experiment, "status": status, "dataset": dataset, "model": model,
            "regularizer": regularizer, "tag": tag, "q": q, "archived": archived or None, "sort": sort,
            "limit": limit, "cursor": cursor,
        }
        return await self._list(Run, "/api/v1/runs", query)

    @both
    async def runs_of(self, experiment: int) -> list[Run]:
        """Every run of an experiment, oldest first, archived ones not."""
        found = [run async for run in every(self.runs, experiment=experiment, limit=200)]
        return sorted(found, key=lambda run: run.id)

    @both
    async def run(self, run: int) -> Run:
        return await self._get(Run, f"/api/v1/runs/{run}")

    @both
    async def change_run(self, run: int, patch: RunPatch) -> Run:
        return await self._patch(Run, f"/api/v1/runs/{run}", patch)

    @both
    async def delete_run(self, run: int) -> Deleted:
        return await self._delete(Deleted, f"/api/v1/runs/{run}")

    @both
    async def cancel_run(self, run: int) -> Run:
        return await self._post(Run, f"/api/v1/runs/{run}/cancel")

    @both
    async def retry_run(self, run: int) -> Run:
        return await self._post(Run, f"/api/v1/runs/{run}/retry")

    @both
    async def act_on_runs(self, request: BulkRequest) -> BulkAnswer:
        """One action on many runs, or with `dry_run` what it would do and free."""
        return await self._post(BulkAnswer, "/api/v1/bulk/runs", request)

    @both
    async def runs_csv(
        self, *, experiment: int | None = None, status: str | None = None, dataset: str | None = None,
        model: str | None = None, regularizer: str | None = None, tag: str | None = None, q: str | None = None,
        archived: bool | None = None, sort: str | None = None,
    ) -> str:
        """Every run that matches, as one table; a column is a dotted path into a run."""
        query = {
            "experiment": experiment, "status": status, "dataset": dataset, "model": model,
            "regularizer": regularizer, "tag": tag, "q": q, "archived": archived, "sort": sort, "format": "csv",
        }
        return (await self._send("GET", "/api/v1/runs", query=query)).text

    @both
    async def metrics(
        self, run: int, *, names: Sequence[str] | None = None, since: int | None = None,
        max_points: int | None = None,
    ) -> list[MetricSeries]:
        """Curves of one run: those named, or all; points after step `since`; thinned to `max_points` each."""
        query = {"names": names, "since": since, "max_points": max_points}
        return (await self._list(MetricSeries, f"/api/v1/runs/{run}/metrics", query)).items

    @both
    async def metrics_of(
        self, runs: Sequence[int], names: Sequence[str], *, max_points: int | None = None
    ) -> list[MetricSeries]:
        """Curves of several runs, at most 200, in one answer."""
        query = {"run": runs, "names": names, "max_points": max_points}
        return (await self._list(MetricSeries, "/api/v1/metrics", query)).items

    @both
    async def log(
        self, run: int, *, after: int | None = None, q: str | None = None, limit: int = 200
    ) -> list[LogLine]:
        """The last lines, or those after the line with id `after`; in order."""
        return (await self._list(LogLine, f"/api/v1/runs/{run}/log", {"after": after, "q": q, "limit": limit})).items

    @both
    async def log_text(self, run: int, *, q: str | None = None) -> str:
        """The whole log, one line each with its time and level; only lines with `q` in them where it is given."""
        return (await self._send("GET", f"/api/v1/runs/{run}/log", query={"q": q, "format": "text"})).text

    @both
    async def artifacts(self, run: int) -> list[Artifact]:
        return (await self._list(Artifact, f"/api/v1/runs/{run}/artifacts")).items

    @both
    async def artifact(self, run: int, name: str) -> bytes:
        """The file's content."""
        return (await self._send("GET", f"/api/v1/runs/{run}/artifacts/{name}")).content

    @both
    async def artifact_arrays(self, run: int, name: str) -> dict[str, np.ndarray]:
        """The arrays of an NPZ file, such as accuracy.npz, which its measure kept; docs/measures.md names them.

        Raises ApiError, and ValueError where the file is no NPZ.
        """
        return read_arrays(await self.artifact(run, name))

    @both
    async def evaluations(self, run: int) -> list[Evaluation]:
        return (await self._list(Evaluation, f"/api/v1/runs/{run}/evaluations")).items

    @both
    async def evaluate(self, run: int, evaluation: EvaluationSpec) -> Evaluation:
        """Takes one more measure of a trained run."""
        return await self._post(Evaluation, f"/api/v1/runs/{run}/evaluations", evaluation)

    @both
    async def measured_samples(
        self, run: int, evaluation: str, array: str, *, equals: float | None = None, order: str = "index",
        limit: int = 50,
    ) -> MeasuredSamples:
        """The test images behind a figure; `order` is "index", "lowest" or "highest"."""
        query = {"array": array, "equals": equals, "order": order, "limit": limit}
        return await self._get(MeasuredSamples, f"/api/v1/runs/{run}/evaluations/{evaluation}/samples", query)
