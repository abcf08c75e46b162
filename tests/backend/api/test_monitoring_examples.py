"""examples/monitoring: every metric and label that rules and dashboard name is in a real answer of /metrics."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import tasks

EXAMPLE = Path(__file__).parents[3] / "examples" / "monitoring"
ALERTS = yaml.safe_load((EXAMPLE / "alerts.yml").read_text())
DASHBOARD = json.loads((EXAMPLE / "grafana-dashboard.json").read_text())
SCRAPE = yaml.safe_load((EXAMPLE / "prometheus.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
METRIC = re.compile(r"\b(?:densitylab|process)_\w+")
SELECTED = re.compile(r"\b((?:densitylab|process)_\w+)\{([^}]*)\}")
GIVEN_BY_PROMETHEUS = {"job", "instance"}
Labels = dict[str, dict[str, set[str]]]  # metric -> label -> values


def expressions() -> Iterator[tuple[str, str]]:
    """Yield each expression with the text that names labels of its result."""
    for rule in RULES:
        yield rule["expr"], rule["annotations"]["summary"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


@pytest.fixture
def answered(client: TestClient, work: Any, database: Database) -> Labels:
    """The labels of each metric that the API gives while runs train, fail and wait."""
    done, failed, running, _ = work.launch({"evaluations": []}, {"seed": [0, 1, 2, 3]})
    work.train(done)
    work.end(work.start(failed), Status.FAILED, "no")
    held = work.start(running)
    with database.write() as session:
        tasks.renew(session, held, lease_seconds=15, memory_bytes=2**30, device_memory_bytes=2**31)
    client.get("/api/v1/runs/999")
    labels: Labels = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            metric = labels.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                metric.setdefault(name, set()).add(value)
    return labels


def test_metrics_and_labels_exist(answered: Labels):
    named = {metric for expression, _ in expressions() for metric in METRIC.findall(expression)}
    assert named <= answered.keys()
    for expression, text in expressions():
        metrics = METRIC.findall(expression)
        labels = set().union(*(answered[metric].keys() for metric in metrics)) | GIVEN_BY_PROMETHEUS
        used = re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", text)
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            used += re.split(r", *", group)
        assert set(used) <= labels, expression


def test_selected_values_exist(answered: Labels):
    checked = 0
    for expression, _ in expressions():
        for metric, selectors in SELECTED.findall(expression):
            for label, operator, values in re.findall(r"(\w+)(=~|=)\"([^\"]*)\"", selectors):
                if label in GIVEN_BY_PROMETHEUS or values == "5..":
                    continue
                assert operator == "=~" or "|" not in values
                assert set(values.split("|")) <= answered[metric][label], expression
                checked += 1
    assert checked >= 4


def test_the_rules_say_what_is_wrong():
    assert len({rule["alert"] for rule in RULES}) == len(RULES) >= 10
    for rule in RULES:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        assert rule["annotations"]["summary"].endswith(".")


def test_the_dashboard_has_panels_side_by_side():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_the_scrape_asks_the_api():
    (job,) = SCRAPE["scrape_configs"]
    assert job["job_name"] == "densitylab"
    assert all('job="densitylab"' in e for e, _ in expressions() if "process_" in e), "other jobs have these names too"
    assert [EXAMPLE / name for name in SCRAPE["rule_files"]] == [EXAMPLE / "alerts.yml"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_accepts_configuration_rules_and_expressions(client: TestClient, tmp_path: Path):
    token = tmp_path / "densitylab.token"
    token.write_text("secret")
    scrape = (EXAMPLE / "prometheus.yml").read_text().replace("/etc/prometheus/densitylab.token", str(token))
    (tmp_path / "prometheus.yml").write_text(scrape)
    shutil.copy(EXAMPLE / "alerts.yml", tmp_path)
    panels = [{"record": f"panel:{n}", "expr": expression} for n, (expression, _) in enumerate(expressions())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    for command in (("config", "prometheus.yml"), ("rules", "alerts.yml"), ("rules", "panels.yml")):
        checked = subprocess.run(["promtool", "check", *command], cwd=tmp_path, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    served = client.get("/metrics").text
    checked = subprocess.run(["promtool", "check", "metrics"], input=served, capture_output=True, text=True)
    assert checked.returncode in (0, 3), checked.stderr  # 3: advice on names
