"""`densitylab freeze` writes a folder or an archive, and refuses with a sentence."""

import zipfile
from pathlib import Path

import pytest

from densitylab.cli import main
from densitylab.frontend.frozen.folder import write
from densitylab.frontend.report import experiment_report

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    """No worker draws maps in these tests."""
    monkeypatch.setattr(experiment_report, "MAP_PATIENCE", 0.0)


@pytest.fixture
def experiment(live_api) -> str:
    (run,) = live_api.train({"evaluations": []})
    return str(live_api.client.run(run).experiment)


def test_a_folder_is_written_and_not_written_over(live_api, experiment: str, tmp_path: Path, capsys):
    arguments = ["freeze", "experiment", experiment, "--out", str(tmp_path / "page"), "--url", live_api.url]
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'page' / 'index.html'}: ")
    assert (tmp_path / "page" / "runs").is_dir() and (tmp_path / "page" / "style.css").is_file()
    assert main(arguments) == 2
    assert f"--out: {tmp_path / 'page'} exists already" in capsys.readouterr().err


def test_of_a_folder_that_cannot_be_written_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "page").mkdir()
    with pytest.raises(OSError):
        write({"index.html": b"", "runs": b"", "runs/1.html": b""}, tmp_path / "page")  # a file where a folder must be
    with pytest.raises(OSError):
        write({"runs": b"", "runs/1.html": b""}, tmp_path / "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["page"]
    monkeypatch.chdir(tmp_path / "page")
    write({"index.html": b"", "runs/1.html": b""}, Path())
    assert (tmp_path / "page" / "runs" / "1.html").is_file()


def test_an_archive_has_one_folder(live_api, experiment: str, tmp_path: Path):
    file = tmp_path / "page.zip"
    assert main(["freeze", "experiment", experiment, "--out", str(file), "--url", live_api.url]) == 0
    with zipfile.ZipFile(file) as archive:
        assert f"experiment-{experiment}/index.html" in archive.namelist()
    before = file.read_bytes()
    assert main(["freeze", "experiment", experiment, "--out", str(file), "--url", live_api.url]) == 2
    assert file.read_bytes() == before


def test_what_cannot_be_frozen_is_said(live_api, experiment: str, tmp_path: Path, capsys):
    (waiting,) = live_api.launch({"evaluations": []})
    url = ["--url", live_api.url, "--out", str(tmp_path / "page")]
    assert main(["freeze", "experiment", str(live_api.client.run(waiting).experiment), *url]) == 1
    assert "has no results yet" in capsys.readouterr().err
    assert main(["freeze", "experiment", "99999", *url]) == 1
    assert "99999" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["freeze", "experiment", experiment, "--images", "-1", *url])
    assert main(["freeze", "experiment", experiment, "--images", "3000000000", *url]) == 2
    assert "indices" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
