"""Mean penalties of a regularizer, and the λ that they suggest."""

from collections.abc import Mapping
from typing import Any

from densitylab.backend.shared.contracts import PenaltyComparison, PenaltyRequest, Task
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.resources.system import Progress, SystemRoutes, require_success


class PenaltyRoutes(SystemRoutes):
    @sync_and_async
    async def request_penalties(self, request: PenaltyRequest) -> Task:
        """Have the mean penalties computed; return the task."""
        return await self._make(Task, "/api/v1/penalties", request)

    @sync_and_async
    async def penalties(self, task: int) -> PenaltyComparison:
        """Return the mean penalties and the suggested λ, once their task has succeeded."""
        return await self._get(PenaltyComparison, f"/api/v1/penalties/{task}")

    @sync_and_async
    async def suggest_lambda(
        self, spec: Mapping[str, Any], lambda_: float, *, progress: Progress | None = None, **fields: Any
    ) -> PenaltyComparison:
        """Return the λ of a spec's norm, power and target at which its penalty weighs as much as the reference's.

        Args:
            spec: names data set, network and regularizer.
            lambda_: λ₀, above 0, which suits the reference parameters.
            progress: called with the task after each request.
            fields: further ones of PenaltyRequest: reference={...} (the catalog's defaults without it), run=7 for the
                weights of a trained run, seeds=[...] of new weights, images=256.

        Raises:
            ApiError: refused, no answer came, or the computation failed.
            ValidationError: a field is wrong.
        """
        request = PenaltyRequest.model_validate({"spec": dict(spec), "lambda_": lambda_, **fields})
        ended = await self._ended(await self.request_penalties(request), progress)
        require_success(ended)
        return await self.penalties(ended.id)
