"""Comparisons of runs over seeds and images."""

from collections.abc import Sequence
from typing import Unpack

from densitylab.backend.shared.contracts.comparisons import Claim, ImageComparison, RunComparison
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.run_filters import RunFilters
from densitylab.frontend.client.transport import Sender


class ComparisonRoutes(Sender):
    @sync_and_async
    async def comparison(
        self,
        result: str,
        *,
        accuracy_budget: float = 0.02,
        baseline: int | None = None,
        constraint_result: str | None = None,
        constraint_budget: float = 0.0,
        **filters: Unpack[RunFilters],
    ) -> RunComparison:
        """Return the matching runs compared by one result: groups, tests, and the selected λ of each method.

        Args:
            result: "<evaluation name>.<value name>", such as "pgd_linf.accuracy".
            accuracy_budget: largest loss of accuracy, 0 to 1.
            baseline: a run of the group that all are compared with; None: each group has its own.
            constraint_result: another result, such as "groups.worst", that a selected λ may make worse by
                `constraint_budget` at most; None: there is none.
            constraint_budget: in the unit of that result.
        """
        query = {**filters, "result": result, "accuracy_budget": accuracy_budget, "baseline": baseline}
        query |= {"constraint_result": constraint_result, "constraint_budget": constraint_budget}
        return await self._get(RunComparison, "/api/v1/comparison", query)

    @sync_and_async
    async def claim(
        self,
        first: Sequence[int],
        second: Sequence[int],
        result: str,
        *,
        accuracy_budget: float = 0.02,
        constraint_result: str | None = None,
        constraint_budget: float = 0.0,
    ) -> Claim:
        """Return whether the first group of runs has a better result than the second at no more than a stated loss of
        test accuracy, and of `constraint_result` if it is named. The runs of a group differ only in the seed."""
        query = {"first": first, "second": second, "result": result, "accuracy_budget": accuracy_budget}
        query |= {"constraint_result": constraint_result, "constraint_budget": constraint_budget}
        return await self._get(Claim, "/api/v1/comparison/claim", query)

    @sync_and_async
    async def image_comparison(self, first: int, second: int, result: str) -> ImageComparison:
        """Return the test between two runs on the same images."""
        query = {"first": first, "second": second, "result": result}
        return await self._get(ImageComparison, "/api/v1/comparison/images", query)
