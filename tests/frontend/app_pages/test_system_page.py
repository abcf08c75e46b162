"""The page of the system, against a real API process without broker and workers."""

import pytest

pytestmark = pytest.mark.timeout(120)


def test_the_state_of_every_part_is_said(page, live_api):
    (run,) = live_api.launch({"epochs": 2, "evaluations": []})
    live_api.start(run)
    app = page.open("system")
    assert not app.exception, app.exception[0].value
    warnings = " ".join(item.value for item in app.warning)
    assert "No worker is running" in warnings and "The broker is not available" in warnings
    metrics = {item.label: item.value for item in app.metric}
    assert metrics["Broker"] == "✕ down" and metrics["Train"] == "?"
    system = live_api.client.system()
    assert metrics["Running"] == str(system.running) and system.running >= 1
    assert metrics["Database"].endswith("B") and metrics["Disk free"].endswith("GB")
    assert "sqlalchemy" in set(app.dataframe[0].value["Component"])
