"""Studies: experiments launched together for a question, with the report that answers it."""

from collections.abc import Mapping

from densitylab.backend.shared.contracts.studies import Study, StudyPreflight, StudyReport, StudyRequest, StudySizeName
from densitylab.frontend.client.dual_api import sync_and_async
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
        return await self._make(Study, f"/api/v1/studies/{study}/continue")

    @sync_and_async
    async def study_report(self, study: int) -> StudyReport:
        """Return tables, figures and claims of a study, of the runs that have ended so far."""
        return await self._get(StudyReport, f"/api/v1/studies/{study}/report")

    @sync_and_async
    async def delete_study(self, study: int) -> Study:
        """Delete a study; its experiments stay."""
        return await self._delete(Study, f"/api/v1/studies/{study}")
