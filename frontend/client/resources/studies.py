"""Studies: experiments launched together for a question, with the report that answers it."""

import time
from collections.abc import Callable, Mapping

from densitylab.backend.shared.contracts.studies import Study, StudyPreflight, StudyReport, StudyRequest, StudySizeName
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.errors import ApiError
from densitylab.frontend.client.resources.events import OUTAGE_SECONDS
from densitylab.frontend.client.study_progress import StudyState, done_share, study_state
from densitylab.frontend.client.transport import Listing, Sender


class StudyRoutes(Sender):
    @sync_and_async
    async def launch_study(
        self,
        key: str,
        size: StudySizeName = "minutes",
        *,
        datasets: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Study:
        """Launch the experiments of a study; `left_out` of its launches says what is missing.

        Args:
            key: of the study in the catalog, such as "leakage".
            size: "minutes", "hours" or "gpu".
            datasets: data sets in place of the study's own, by the study's key.
            idempotency_key: see `launch`.

        Raises:
            ApiError: refused, with every wrong field; or no answer came.
        """
        request = StudyRequest(key=key, size=size, datasets=dict(datasets or {}))
        return await self._make(Study, "/api/v1/studies", request, idempotency_key=idempotency_key)

    @sync_and_async
    async def preflight_study(
        self, key: str, size: StudySizeName = "minutes", *, datasets: Mapping[str, str] | None = None
    ) -> StudyPreflight:
        """Return the estimated cost of a study, without launching."""
        request = StudyRequest(key=key, size=size, datasets=dict(datasets or {}))
        return await self._post(StudyPreflight, "/api/v1/studies/preflight", request)

    @sync_and_async
    async def studies(
        self,
        *,
        key: str | None = None,
        size: StudySizeName | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Listing[Study]:
        """Return a page of the studies that were launched, newest first."""
        query = {"key": key, "size": size, "limit": limit, "cursor": cursor}
        return await self._list(Study, "/api/v1/studies", query)

    @sync_and_async
    async def study(self, study: int) -> Study:
        return await self._get(Study, f"/api/v1/studies/{study}")

    @sync_and_async
    async def continue_study(self, study: int) -> Study:
        """Launch the experiments that were left out and are possible now."""
        return await self._post(Study, f"/api/v1/studies/{study}/continue")

    @sync_and_async
    async def wait_study(
        self,
        study: int,
        *,
        timeout: float | None = None,
        poll_seconds: float = 1.0,
        progress: Callable[[StudyState], None] | None = None,
    ) -> Study:
        """Wait until all runs and evaluations of a study have ended, those too that a search launches; return the
        study. One of which nothing was launched is returned at once.

        Args:
            study: number of the study.
            timeout: seconds; None: no limit.
            poll_seconds: time between two requests.
            progress: called after each request.

        Raises:
            ApiError: refused, or the API has not answered for a minute.
            TimeoutError: not done in time. The study goes on.
        """
        current = await self.study(study)
        began = answered_at = time.monotonic()
        before = done_share(current)
        while True:
            state = study_state(current, time.monotonic() - began, before)
            if progress is not None:
                progress(state)
            if current.finished or not any(launch.runs for launch in current.launches):
                return current
            if timeout is not None and state.seconds >= timeout:
                raise TimeoutError(f"The study {study} is not done in time; it goes on.")
            await self._connection.sleep(
                poll_seconds if timeout is None else min(poll_seconds, timeout - state.seconds)
            )
            try:
                current = await self.study(study)
                answered_at = time.monotonic()
            except ApiError as error:
                if not error.transient or time.monotonic() - answered_at >= OUTAGE_SECONDS:
                    raise

    @sync_and_async
    async def study_report(self, study: int) -> StudyReport:
        """Return tables, figures and claims of a study, of the runs that have ended so far."""
        return await self._get(StudyReport, f"/api/v1/studies/{study}/report")

    @sync_and_async
    async def delete_study(self, study: int) -> Study:
        """Delete a study; its experiments stay."""
        return await self._delete(Study, f"/api/v1/studies/{study}")
