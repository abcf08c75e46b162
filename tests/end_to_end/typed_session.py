"""A session whose answers all have a type; `test_light_client.py` checks it with mypy, and nothing runs it."""

import asyncio
from collections.abc import Iterator
from typing import assert_type

import densitylab
from densitylab import ApiError, connect
from densitylab.backend.shared.contracts import Evaluation, Event, Experiment, MetricSeries, Progress, Run

client = connect()
experiment = client.launch({"name": "typed", "sweep": {"lambda_": [0, 1]}})
assert_type(experiment, Experiment)
runs = client.wait(experiment.id)
assert_type(runs, list[Run])
assert_type(runs[0].results["accuracy.accuracy"].value, float | None)
assert_type(client.metrics(runs[0].id), list[MetricSeries])
assert_type(client.evaluations(runs[0].id), list[Evaluation])
assert_type(client.every(client.runs, status="failed"), Iterator[Run])
assert_type(client.events(), Iterator[Event | Progress])
assert_type(client.artifact(runs[0].id, "checkpoint.pt"), bytes)
assert_type(densitylab.__version__, str)


async def listed() -> list[int]:
    async with densitylab.connect_async() as other:
        assert_type(await other.run(1), Run)
        return [run.id async for run in other.every(other.runs)]


try:
    assert_type(asyncio.run(listed()), list[int])
except ApiError as error:
    assert_type(error.status, int)
