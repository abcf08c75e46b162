"""`densitylab study report --out` and `densitylab export --format paper` write a paper's files."""

import zipfile
from pathlib import Path

import pytest

from densitylab.cli import main
from densitylab.frontend.paper import typeset

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def study(live_api) -> str:
    return str(live_api.client.launch_study("leakage").id)


def test_tables_and_archive_are_written(live_api, study: str, tmp_path: Path, capsys):
    for name in ("tables.tex", "paper.zip"):
        assert main(["study", "report", study, "--out", str(tmp_path / name), "--url", live_api.url]) == 0
        assert capsys.readouterr().out == f"{tmp_path / name}\n"
    assert (tmp_path / "tables.tex").read_text().startswith("% Needs")
    with zipfile.ZipFile(tmp_path / "paper.zip") as archive:
        assert {"paper.tex", "references.bib", "draw.py", "runs.json", "SHA256SUMS"} <= set(archive.namelist())


def test_the_archive_of_an_experiment_has_its_tables_and_figures(live_api, tmp_path: Path):
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 0.1], "seed": [0, 1]})
    for run_id in run_ids:
        live_api.finish(run_id, accuracy__accuracy=0.9)
    file, experiment = tmp_path / "paper.zip", str(live_api.client.run(run_ids[0]).experiment)
    assert main(["export", experiment, "--format", "paper", "-o", str(file), "--url", live_api.url]) == 0
    with zipfile.ZipFile(file) as archive:
        assert {"tables/means-over-seeds.tex", "figures/test-accuracy-over-lambda.svg"} <= set(archive.namelist())


def test_a_pdf_without_a_compiler_is_refused_with_a_sentence(
    live_api, study: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "")
    file = tmp_path / "paper.pdf"
    assert main(["study", "report", study, "--out", str(file), "--url", live_api.url]) == 2
    assert "LaTeX compilers" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.slow
@pytest.mark.skipif(typeset.compiler() is None, reason="no LaTeX compiler is installed")
def test_a_pdf_is_compiled(live_api, study: str, tmp_path: Path):
    file = tmp_path / "paper.pdf"
    assert main(["study", "report", study, "--out", str(file), "--url", live_api.url]) == 0
    assert file.read_bytes().startswith(b"%PDF")
