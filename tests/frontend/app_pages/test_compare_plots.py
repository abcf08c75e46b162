"""The per-metric plots of the Compare page: which one is first, and of which groups."""

import pytest

from densitylab.backend.shared.contracts import Curve, Value
from tests.frontend.page_text import page_text

pytestmark = pytest.mark.timeout(120)


def test_of_many_groups_those_with_the_selected_lambda_are_plotted(page, live_api):
    """λ 30 has the best accuracy under attack of seven groups."""
    lambdas = [0, 0.03, 0.1, 0.3, 1, 3, 30]
    attack = {"key": "pgd_linf", "params": {"epsilons": [0.05]}}
    run_ids = live_api.launch({"evaluations": [attack]}, {"lambda_": lambdas, "seed": [0, 1]})
    for index, run_id in enumerate(run_ids):
        live_api.finish(run_id, accuracy__accuracy=0.9)
        value = Value(value=index / 100, low=0.0, high=0.5, n=100, higher_is_better=True)
        curve = Curve(x=[0, 0.05], y=[0.9, index / 100], x_label="epsilon", y_label="accuracy")
        live_api.measured(run_id, "pgd_linf", values={"accuracy": value}, curves={"accuracy": curve})
    app = page.open("compare", experiment=str(live_api.client.run(run_ids[0]).experiment))
    assert "The selected λ and their baselines: 2 groups of 7." in page_text(app)
    everything = next(item for item in app.toggle if item.label == "All 7 groups")
    assert "The selected λ and" not in page_text(everything.set_value(True).run())


def test_the_first_plot_is_of_the_result_that_selects_lambda(page, live_api):
    attack = {"key": "pgd_linf", "params": {"epsilons": [0.05]}}
    run_ids = live_api.launch({"evaluations": [attack]}, {"lambda_": [0, 1], "seed": [0, 1]})
    for run_id in run_ids:
        for name, drawn in (("accuracy", "reliability"), ("pgd_linf", "accuracy")):
            value = Value(value=0.9, low=0.8, high=0.95, n=100, higher_is_better=True)
            curve = Curve(x=[0, 0.5], y=[0.1, 0.4], x_label="x", y_label="y")
            live_api.measured(run_id, name, values={"accuracy": value}, curves={drawn: curve})
    number = str(live_api.client.run(run_ids[0]).experiment)
    app = page.open("compare", experiment=number, best="PGD accuracy, L∞ ε = 0.05")
    page_text(app)
    plots = app.selectbox(key="measured")
    assert plots.options[0].startswith("Reliability") and plots.value != plots.options[0]
    app = plots.set_value(plots.options[0]).run()
    page_text(app)
    assert app.selectbox(key="measured").value == plots.options[0]
