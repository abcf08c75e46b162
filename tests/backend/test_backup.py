"""What was backed up is there again, on the other kind of database too."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text

from backend import backup
from backend.api.app import create_app
from backend.reconciler import System
from backend.shared.settings import Settings
from backend.shared.tables import Base


def answers(settings: Settings) -> dict[str, Any]:
    """What a user sees; texts of stages differ, since what was at work is queued again."""
    with TestClient(create_app(settings)) as client:
        listed = [
            {name: run[name] for name in ("id", "spec", "results", "notes", "created_at", "provenance")}
            for run in client.get("/api/v1/runs").json()["items"]
        ]
        return {
            "runs": listed, "statuses": [run["status"] for run in client.get("/api/v1/runs").json()["items"]],
            "checkpoint": client.get("/api/v1/runs/1/artifacts/checkpoint.pt").content,
            "next": client.post("/api/v1/experiments", json={}).json()["runs"],
        }


def test_a_restored_system_shows_what_the_old_one_did(work: Any, system: System, settings: Settings, tmp_path: Path):
    done, running, _ = work.launch(sweep={"seed": [0, 1, 2]})
    work.train(done)
    work.finish_evaluations(done)
    work.start(running)
    file = tmp_path / "everything.tar"
    assert backup.create(settings, file) == file.stat().st_size
    # On SQLite whatever it was before
    other = Settings(home=tmp_path / "other", redis_url=settings.redis_url)
    backup.restore(other, file)
    old, new = answers(settings), answers(other)
    assert (old["runs"], old["checkpoint"]) == (new["runs"], new["checkpoint"])
    assert old["checkpoint"] == b"weights"
    assert old["statuses"] == ["queued", "running", "succeeded"]
    assert new["statuses"] == ["queued", "queued", "succeeded"]
    assert old["next"] == new["next"] == [4]
    with pytest.raises(backup.BackupError, match="not empty"):
        backup.restore(other, file)


def test_to_postgresql_the_counters_come_along(work: Any, settings: Settings, tmp_path: Path, _postgres: str):
    if settings.database_url == _postgres:
        pytest.skip("from SQLite to PostgreSQL")
    engine = create_engine(_postgres)
    with engine.begin() as connection:
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    engine.dispose()
    work.train(work.launch(sweep={"seed": [0, 1, 2]})[0])
    backup.create(settings, tmp_path / "everything.tar")
    other = Settings(home=tmp_path / "other", redis_url=settings.redis_url, database_url=_postgres)
    backup.restore(other, tmp_path / "everything.tar")
    assert answers(other)["next"] == [4]


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path):
    (tmp_path / "no.tar").write_text("no tar")
    for arguments in (["--restore", str(tmp_path / "no.tar")], ["--restore", str(tmp_path / "missing")],
                      [str(tmp_path / "made.tar")]):
        done = subprocess.run([sys.executable, "-m", "backend.backup", *arguments], capture_output=True, text=True,
                              cwd=Path(__file__).parents[2], env={"DENSITYLAB_HOME": str(tmp_path / "home")},
                              timeout=60)
        if arguments[0] == "--restore":
            assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1 and "Trace" not in done.stderr
