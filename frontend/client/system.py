"""The system, what it offers, and its tasks."""

from backend.shared.contracts import Readiness, System, Task
from frontend.catalog import Catalog
from frontend.client.both import both
from frontend.client.sending import Sender


class SystemRoutes(Sender):
    @both
    async def readiness(self) -> Readiness:
        # Degraded is an answer too, whatever its status code
        return self._read(Readiness, await self._send("GET", "/readyz", accept=(200, 503)))

    @both
    async def catalog(self) -> Catalog:
        """Every choice on offer: data sets, models, regularizers, measures, ..., with their parameters."""
        return await self._get(Catalog, "/api/v1/catalog")

    @both
    async def system(self) -> System:
        """Workers with what they do, queues, broker, database, disk and versions."""
        return await self._get(System, "/api/v1/system")

    @both
    async def task(self, task: int) -> Task:
        return await self._get(Task, f"/api/v1/tasks/{task}")

    @both
    async def cancel_task(self, task: int) -> Task:
        return await self._post(Task, f"/api/v1/tasks/{task}/cancel")
