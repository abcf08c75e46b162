"""Models that were trained elsewhere, on the pages of the runs trained here."""

import csv
import io
import re

import pytest

from densitylab.backend.shared.contracts import Flag, NormalizationCheck
from tests.frontend.page_text import button, linked, page_text

pytestmark = pytest.mark.timeout(120)
# What no page may say of a model that was not trained here
UNTRAINED = re.compile(r"λ = 0\b|λ 0\b|15 epochs|[Mm]arginal.density|seed 0|baseline \(no regularizer\)")
TRIAL = {"std": [0.5], "channel_order": "rgb", "value_range": "unit", "low": 0.8, "high": 0.95, "n": 2000}
CHECK = NormalizationCheck.model_validate(
    {
        "chosen": 0,
        "decided": True,
        "summary": "Mean and deviation 0.5: accuracy 0.9000.",
        "split": "validation",
        "n": 2000,
        "trials": [
            TRIAL | {"name": "half", "label": "mean and deviation 0.5", "mean": [0.5], "accuracy": 0.9},
            TRIAL | {"name": "none", "label": "no normalisation", "mean": [0.0], "accuracy": 0.4},
        ],
    }
)


@pytest.fixture(scope="module")
def trained(live_api) -> list[int]:
    live_api.prepare()
    return live_api.train({"model": {"key": "cnn"}, "evaluations": []}, {"lambda_": [0, 0.1]})


@pytest.fixture(scope="module")
def imported(live_api, trained) -> int:
    return live_api.import_model("resnet.th", check=CHECK, accuracy__accuracy=0.9173)


def test_the_page_of_the_run_shows_the_accuracy_the_source_and_the_check(page, imported):
    app = page.open("run", run=str(imported))
    text = page_text(app)
    assert app.title[0].value.startswith(f"Run {imported}: ")
    assert "**imported model resnet.th, Small CNN" in page_text(app).replace("\\", "")
    assert [item.value for item in app.header][:2] == ["Accuracy on the test images", "Source"]
    for part in (
        "95 % interval 0.9073 to 0.9273, n = 1,000",
        "1.2 MB",
        "weights under state\\_dict",
        "prefix module.",
        "A paper of 2026",
        "training: not known",
    ):
        assert part in text
    assert "a1" * 32 in app.code[0].value
    table = next(item.value for item in app.dataframe if "Normalisation" in item.value)
    assert list(table["Accuracy"]) == ["0.9000", "0.4000"] and list(table[""]) == ["✓ used", ""]
    assert "No points yet" not in text and not UNTRAINED.search(text)
    spec = next(item.value for item in app.json if '"dataset"' in item.value)
    assert '"mean"' in spec and not re.search(r'"(epochs|lambda_|seed|regularizer)"', spec)
    labels = {item.label for item in app.button}
    assert "Clone and edit" not in labels and "Retry" not in labels and "Saliency maps" in labels


def test_runs_lists_them_with_their_origin_and_filters(page, live_api, imported, trained):
    app = page.open("runs")
    page_text(app)
    table = app.dataframe[0].value.set_index("Run")
    row = table.loc[imported]
    assert row["Origin"] == "imported: resnet.th" and row["Regularizer"] == "—"
    assert row.isna()[["λ", "Seed"]].all() and table.loc[trained[1], "λ"] == 0.1
    app = app.selectbox(key="origin").set_value("imported").run()
    page_text(app)
    shown = app.dataframe[0].value
    assert imported in set(shown["Run"]) and shown["Origin"].str.startswith("imported: ").all()
    app = app.selectbox(key="origin").set_value("trained").run()
    page_text(app)
    assert "Origin" not in app.dataframe[0].value and imported not in set(app.dataframe[0].value["Run"])


def test_compare_shows_it_beside_trained_runs_without_a_seed_or_lambda(page, imported, trained):
    app = page.open("compare", runs=",".join(map(str, [*trained, imported])))
    page_text(app)
    table = app.dataframe[0].value
    assert list(table["source"]) == ["—", "—", "resnet.th"] and list(table["λ"]) == ["0", "0.1", "—"]
    assert table["seeds done"].iloc[2] == "—" and "(1 model)" in table["Test accuracy"].iloc[2]


@pytest.mark.parametrize("name", ["saliency", "stability", "density"])
def test_it_is_selectable_beside_trained_runs(page, imported, trained, name):
    app = page.open(name, runs=f"{trained[0]},{imported}")
    text = page_text(app)
    chosen = next(item for item in app.multiselect if item.label.startswith("Runs"))
    assert chosen.value == [trained[0], imported]
    assert any("imported model resnet.th" in option for option in chosen.options)
    assert not UNTRAINED.search(text)


def test_its_experiment_has_nothing_to_clone_or_extend(page, live_api, imported):
    app = page.open("experiment", experiment=str(live_api.client.run(imported).experiment))
    text = page_text(app)
    assert button(app, "Copy into Launch").disabled and not UNTRAINED.search(text)
    groups = app.dataframe[0].value
    assert list(groups["Group"]) == ["resnet.th"] and list(groups["Seeds"]) == ["—"]


def test_a_table_of_all_models_and_the_warning_of_one_at_chance(page, live_api, imported):
    flag = Flag(key="at_chance", text="Accuracy at chance: 98 of 1,000 validation images.")
    live_api.import_model("other.pt", flags=[flag], accuracy__accuracy=0.098)
    app = page.open("models")
    page_text(app)
    table = app.dataframe[0].value.set_index("File")
    assert table.loc["resnet.th", "Accuracy"] == "0.9173" and table.loc["resnet.th", "n"] == "1,000"
    assert table.loc["other.pt", "Warnings"] == "⚠ at chance"
    assert "Accuracy at chance" in page_text(page.open("run", run=str(table.loc["other.pt", "Run"])))


def test_the_csv_of_runs_has_no_settings_of_a_training_that_never_was(live_api, imported, trained):
    rows = list(csv.DictReader(io.StringIO(live_api.client.runs_csv(ids=[imported, trained[1]]))))
    by_id = {int(row["id"]): row for row in rows}
    assert by_id[trained[1]]["spec.epochs"] == "15" and by_id[trained[1]]["origin"] == "trained"
    row = by_id[imported]
    assert row["origin"] == "imported" and row["source.file_name"] == "resnet.th" and row["spec.model.key"] == "cnn"
    assert {row[name] for name in ("spec.epochs", "spec.lambda_", "spec.seed", "spec.regularizer.key", "lambda_")} == {
        ""
    }


def test_a_newer_model_does_not_move_the_selected_one(page, live_api, imported):
    app = page.open("models")
    files = list(app.dataframe[0].value["File"])
    app.session_state["models-table-0"] = {
        "selection": {"rows": [files.index("resnet.th")], "columns": [], "cells": []}
    }
    live_api.import_model("newest.pt", accuracy__accuracy=0.5)
    app = app.run()
    assert list(app.dataframe[0].value["File"]) == files
    app = button(app, "Run").click().run()
    assert linked(app, "run") == str(imported)
