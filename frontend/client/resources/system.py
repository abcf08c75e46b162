"""The system, its catalog and its tasks."""

from collections.abc import Callable

from densitylab.backend.shared.contracts import Readiness, Status, System, Task
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.errors import ApiError
from densitylab.frontend.client.transport import Sender

_POLL_SECONDS = 0.5
Progress = Callable[[Task], None]


class SystemRoutes(Sender):
    @sync_and_async
    async def readiness(self) -> Readiness:
        # A degraded system answers 503
        return self._read(Readiness, await self._send("GET", "/readyz", accept=(200, 503)))

    @sync_and_async
    async def catalog(self) -> Catalog:
        """Return all data sets, models, regularizers, evaluations, ... with their parameters."""
        return await self._get(Catalog, "/api/v1/catalog")

    @sync_and_async
    async def system(self) -> System:
        """Return workers and their tasks, queues, broker, database, disk and versions."""
        return await self._get(System, "/api/v1/system")

    @sync_and_async
    async def task(self, task: int) -> Task:
        return await self._get(Task, f"/api/v1/tasks/{task}")

    @sync_and_async
    async def cancel_task(self, task: int) -> Task:
        return await self._post(Task, f"/api/v1/tasks/{task}/cancel")

    async def _ended(self, task: Task, progress: Progress | None) -> Task:
        """Return the task once it has ended."""
        while True:
            if progress is not None:
                progress(task)
            if task.status.final:
                return task
            await self._connection.sleep(_POLL_SECONDS)
            task = await self.task(task.id)


def require_success(task: Task) -> None:
    """Raise ApiError if the task failed or was cancelled."""
    if task.status is not Status.SUCCEEDED:
        raise ApiError(0, task.error or "The task was cancelled.")
