"""The frozen page of a study whose runs have results."""

import pytest

from densitylab.frontend.client import ApiError
from densitylab.frontend.frozen.folder import Files
from densitylab.frontend.frozen.study import freeze_study
from densitylab.frontend.report import experiment_report
from tests.frontend.frozen.folders import document, hashes, missing_targets

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module", autouse=True)
def impatient() -> None:
    """No worker draws maps in these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment_report, "MAP_PATIENCE", 0.0)
        yield


@pytest.fixture(scope="module")
def files(live_api, leakage_study) -> Files:
    return freeze_study(live_api.client, leakage_study.id)


def test_claims_tables_and_runs_are_those_of_the_report(live_api, leakage_study, files):
    report, index = live_api.client.study_report(leakage_study.id), document(files)
    claims = index.table("claim", "answer")
    assert [row["answer"].split()[-1] for row in claims] == [claim.verdict for claim in report.claims]
    row, table = report.tables[0].rows[0], index.table("method", "λ", "result", "mean", "n")
    assert float(table[0]["mean"]) == pytest.approx(row.cells[0].mean.mean, rel=1e-3)
    assert int(table[0]["n"]) == row.cells[0].mean.n == len(row.runs)
    behind = {run for table in report.tables for row in table.rows for run in row.runs}
    assert {f"runs/{run}.html" for run in behind} <= set(files)
    assert hashes(files)[row.runs[0]] == row.spec_hashes[0]
    assert f"Study {leakage_study.id} · Size: minutes" in index.text and "with DensityLab" in index.text


def test_all_addresses_lead_into_the_folder(files):
    assert missing_targets(files) == []
    assert files["index.html"].count(b"Figure 1. Leakage against accuracy: MLP, ReLU.") == 1


def test_each_launch_has_its_maps_or_the_reason(live_api, leakage_study, files):
    text = document(files).text
    launches = [launch.label for launch in leakage_study.launches if launch.experiment is not None]
    assert text.count("The maps are queued") == len(launches) == 3


def test_a_study_whose_data_is_missing_is_refused_with_the_reason(live_api):
    study = live_api.client.launch_study("ood", "hours")
    with pytest.raises(ApiError, match=rf"Study {study.id} has no results yet\. .* is not prepared: prepare it"):
        freeze_study(live_api.client, study.id)


def test_there_is_no_such_study(live_api):
    with pytest.raises(ApiError, match="99999"):
        freeze_study(live_api.client, 99_999)
