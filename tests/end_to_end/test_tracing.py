"""A trace from the request of a launch to the jobs of real workers, received by a collector."""

import tempfile
from pathlib import Path

import pytest

from tests.end_to_end.systems import started

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `tracing` is not installed")

from tests.otlp_collector import collecting

SMALL = {"epochs": 1, "train_samples": 200, "device": "cpu", "evaluations": []}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_jobs_belong_to_the_trace_of_their_launch(tmp_path: Path):
    with collecting() as collector, tempfile.TemporaryDirectory(prefix="dl-") as home:
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, "DENSITYLAB_WORKERS": "1"}
        with started(Path(home), tmp_path / "log.txt", given) as system:
            (run,) = system.client.wait(system.client.launch({"name": "traced", "spec": SMALL}).id, timeout=200)
            # Sent when the job's process ends, which may be after the end of the run
            training, evaluation = collector.named("train job"), collector.named("evaluate job")
            launch = collector.named("POST /api/v1/experiments")
    assert (launch.service, training.service) == ("densitylab-api", "densitylab-worker")
    assert {training.trace, evaluation.trace} == {launch.trace}
    assert {training.parent, evaluation.parent} == {launch.span}
    assert training.attributes["densitylab.run"] == run.id and not training.failed
