"""The bundle: complete, the same each time, drawn again by its own script, and compiled by LaTeX."""

import ast
import csv
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from statistics import fmean

import pytest

from densitylab.frontend.paper import draw, typeset
from densitylab.frontend.paper.bundle import SUMS, bundle, files
from densitylab.frontend.paper.study import study_paper


@pytest.fixture(scope="module")
def paper(report, runs, catalog):
    return study_paper(report, runs, catalog)


@pytest.fixture(scope="module")
def archive(paper, catalog) -> bytes:
    return bundle(paper, catalog)


@pytest.fixture
def folder(archive: bytes, tmp_path: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(tmp_path)
    return tmp_path


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text())))


def test_the_archive_is_complete_and_its_sums_hold(folder: Path):
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    tables = {
        f"tables/accuracy-at-the-selected-lambda-{key}.{form}" for key in ("mlp", "cnn") for form in ("tex", "csv")
    }
    figures = {f"figures/accuracy-under-attack.{form}" for form in ("csv", "pdf", "svg")} | {"figures/figures.json"}
    others = {"paper.tex", "references.bib", "draw.py", "runs.json", "values-per-seed.csv", SUMS}
    assert names == tables | figures | others
    for line in (folder / SUMS).read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_equal_papers_give_equal_archives(archive: bytes, paper, catalog):
    assert bundle(paper, catalog) == archive


def test_specs_and_hashes_of_all_runs_are_there_without_the_host(folder: Path, runs):
    stored = json.loads((folder / "runs.json").read_text())
    assert [item["run"] for item in stored] == [run.id for run in runs]
    assert stored[3]["spec"]["lambda_"] == 0.1
    assert stored[3]["provenance"] == {"data_hash": "d" * 64, "spec_hash": f"{runs[3].id:016d}", "version": "0.2.0"}


def test_values_per_seed_are_those_behind_the_means(folder: Path):
    values = {(row["run"], row["result"]): float(row["value"]) for row in rows(folder / "values-per-seed.csv")}
    for row in rows(folder / "tables/accuracy-at-the-selected-lambda-mlp.csv"):
        own = [values[run, row["result"]] for run in row["runs"].split()]
        assert len(own) == int(row["n"])
        assert fmean(own) == pytest.approx(float(row["mean"]), abs=1e-12)


def test_the_script_needs_matplotlib_alone():
    tree = ast.parse(Path(draw.__file__).read_text())
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
    }
    assert imported - sys.stdlib_module_names == {"matplotlib"}


def test_the_script_draws_the_same_figures_from_the_exported_numbers(folder: Path):
    figures = sorted(file for file in (folder / "figures").iterdir() if file.suffix in (".pdf", ".svg"))
    before = {file.name: file.read_bytes() for file in figures}
    for file in figures:
        file.unlink()
    subprocess.run([sys.executable, "-I", "draw.py"], cwd=folder, check=True, timeout=120)
    assert {file.name: file.read_bytes() for file in figures} == before


def test_the_script_draws_what_the_numbers_say(folder: Path):
    file = folder / "figures/accuracy-under-attack.csv"
    before = (folder / "figures/accuracy-under-attack.svg").read_text()
    first, *others = rows(file)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, first.keys())
        writer.writeheader()
        writer.writerows([first | {"y": str(float(first["y"]) + 0.1), "y_high": "0.2"}, *others])
    subprocess.run([sys.executable, "-I", "draw.py"], cwd=folder, check=True, timeout=120)
    assert (folder / "figures/accuracy-under-attack.svg").read_text() != before


@pytest.mark.slow
@pytest.mark.skipif(typeset.compiler() is None, reason="no LaTeX compiler is installed")
def test_the_document_compiles(paper, catalog):
    pdf = typeset.typeset(dict(files(paper, catalog)))
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000


def test_without_a_compiler_a_sentence_says_what_is_missing(paper, catalog, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(typeset.CannotTypeset, match="tectonic, pdflatex"):
        typeset.typeset({})
