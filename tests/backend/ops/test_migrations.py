"""The revisions make the tables of the code, on SQLite and PostgreSQL; a backup comes first; newer is refused."""

import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from densitylab.backend.ops import migrate
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import experiments, instance, run_listing, totals
from densitylab.backend.shared.store.run_filters import Filter
from densitylab.backend.shared.tables import Base

POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432"
METADATA = [Base.metadata, instance.TABLE.metadata, totals.TABLE.metadata]
HEAD = ScriptDirectory.from_config(migrate._config()).get_current_head()


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def postgresql_settings(tmp_path: Path) -> Iterator[Settings]:
    name = f"densitylab_{uuid.uuid4().hex[:12]}"
    server = create_engine(f"{POSTGRESQL}/postgres", isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    try:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError:
        pytest.skip("no PostgreSQL at 127.0.0.1:5432")
    yield Settings(home=tmp_path / "home", database_url=f"{POSTGRESQL}/{name}")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def differences(settings: Settings) -> list[object]:
    database = Database(settings.database_url)
    options = {"compare_type": True, "include_name": migrate.is_declared}
    with database.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    database.close()
    return list(found)


def set_revision(settings: Settings, revision: str) -> None:
    database = Database(settings.database_url)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    database.close()


def execute(settings: Settings, *statements: str) -> None:
    with closing(sqlite3.connect(settings.home / "densitylab.sqlite")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def insert_experiment(settings: Settings) -> None:
    execute(
        settings,
        "INSERT INTO experiments (name, notes, tags, archived, deleting, request, created_at)"
        " VALUES ('kept', '', '[]', 0, 0, '{}', 0)",
    )


@pytest.mark.parametrize("kind", ["sqlite_settings", "postgresql_settings"])
def test_an_empty_database_becomes_that_of_the_code(kind: str, request: pytest.FixtureRequest):
    settings: Settings = request.getfixturevalue(kind)
    assert migrate.upgrade(settings) is None
    assert differences(settings) == []
    assert migrate.upgrade(settings) is None  # nothing pending, no backup
    assert not (settings.home / "backups").exists()


@pytest.mark.parametrize("kind", ["sqlite_settings", "postgresql_settings"])
def test_a_newer_database_is_refused_and_left_alone(kind: str, request: pytest.FixtureRequest):
    settings: Settings = request.getfixturevalue(kind)
    migrate.upgrade(settings)
    set_revision(settings, "9999")
    with pytest.raises(migrate.MigrationError, match=rf"9999.*newer than this DensityLab.*{HEAD}"):
        migrate.upgrade(settings)
    assert not (settings.home / "backups").exists()


@pytest.fixture
def next_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second revision, beside copies of the real ones, so that an upgrade with content is seen."""
    folder = tmp_path / "migrations"
    real = Path(migrate.__file__).parents[1] / "migrations"
    (folder / "versions").mkdir(parents=True)
    for file in [real / "env.py", real / "script.py.mako", *sorted((real / "versions").glob("*.py"))]:
        (folder / file.relative_to(real)).write_text(file.read_text())
    (folder / "versions" / "9000_more.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision, branch_labels, depends_on = '9000', '{HEAD}', None, None\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('experiments', recreate='auto') as batch:\n"
        "        batch.alter_column('name', type_=sa.String(300))\n"
        "def downgrade():\n    pass\n"
    )
    original = migrate._config

    def config(connection=None):
        made = original(connection)
        made.set_main_option("script_location", str(folder))
        return made

    monkeypatch.setattr(migrate, "_config", config)


def test_a_backup_precedes_a_migration_and_rows_survive_it(sqlite_settings: Settings, request: pytest.FixtureRequest):
    migrate.upgrade(sqlite_settings)
    insert_experiment(sqlite_settings)
    execute(
        sqlite_settings,
        "INSERT INTO runs (experiment_id, spec_version, spec, spec_hash, dataset, model, regularizer, notes, tags, "
        "archived, deleting, metrics, results, flags, provenance, created_at) VALUES (1, 2, '{}', 'h', 'd', 'm', 'r', "
        "'', '[]', 0, 0, '{}', '{}', '[]', '{}', 0)",
    )
    request.getfixturevalue("next_revision")
    backup = migrate.upgrade(sqlite_settings)
    assert backup is not None and backup.parent == sqlite_settings.home / "backups"
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("kept",)]
    with closing(sqlite3.connect(sqlite_settings.home / "densitylab.sqlite")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9000",)]
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("kept",)]
        # The batch dropped the old table: what refers to it must not have gone with it
        assert connection.execute("SELECT spec_hash FROM runs").fetchall() == [("h",)]


def test_only_the_last_five_backups_are_kept(sqlite_settings: Settings, request: pytest.FixtureRequest):
    migrate.upgrade(sqlite_settings)
    request.getfixturevalue("next_revision")
    made = []
    for _ in range(7):
        made.append(migrate.upgrade(sqlite_settings))
        set_revision(sqlite_settings, HEAD)
    assert sorted((sqlite_settings.home / "backups").iterdir()) == made[-5:]


def test_the_command_says_a_refusal_in_one_line(tmp_path: Path):
    not_a_database = tmp_path / "densitylab.sqlite"
    not_a_database.write_text("This is a text, and by no means a database. " * 50)
    outcome = subprocess.run(
        [sys.executable, "-m", "densitylab", "migrate"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
        env={"DENSITYLAB_HOME": str(tmp_path), "PATH": ""},
    )
    assert outcome.returncode == 1
    assert outcome.stderr.strip() == "The database cannot be used, backed up or migrated: file is not a database"


def test_points_of_curves_survive_their_new_order(sqlite_settings: Settings):
    migrate.upgrade(sqlite_settings)
    with migrate._connection(sqlite_settings) as connection:
        command.downgrade(migrate._config(connection), "0004")
        connection.commit()
    point = (1, "loss", 3, 0.5, 0.1, 2.0)
    execute(sqlite_settings, f"INSERT INTO metrics (run_id, name, step, epoch, value, seconds) VALUES {point}")
    migrate.upgrade(sqlite_settings)
    with closing(sqlite3.connect(sqlite_settings.home / "densitylab.sqlite")) as connection:
        assert connection.execute("SELECT * FROM metrics").fetchall() == [point]
        (made,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'metrics'").fetchone()
    assert made.rstrip().endswith("WITHOUT ROWID")


@pytest.mark.parametrize("kind", ["sqlite_settings", "postgresql_settings"])
def test_runs_of_before_are_sorted_too(kind: str, request: pytest.FixtureRequest):
    settings: Settings = request.getfixturevalue(kind)
    migrate.upgrade(settings)
    with migrate._connection(settings) as connection:
        command.downgrade(migrate._config(connection), "0009")
        connection.commit()
    database = Database(settings.database_url)
    results = '{"accuracy.accuracy": {"value": 0.75}, "accuracy.none": {"value": null}}'
    with database.write() as session:
        session.execute(
            text(
                "INSERT INTO experiments (name, notes, tags, archived, deleting, request, created_at)"
                " VALUES ('kept', '', '[]', false, false, '{}', 0)"
            )
        )
        session.execute(
            text(
                "INSERT INTO runs (experiment_id, spec_version, spec, spec_hash, dataset, model, regularizer, notes,"
                " tags, archived, deleting, metrics, results, flags, provenance, created_at) VALUES (1, 2, :spec,"
                " 'h', 'd', 'm', 'r', '', '[]', false, false, :metrics, :results, '[]', '{}', 0)"
            ),
            {"spec": '{"lambda_": 0.25}', "results": results, "metrics": '{"loss": 0.5, "penalty": null}'},
        )
    migrate.upgrade(settings)
    with database.read() as session:
        assert session.execute(text("SELECT lambda_ FROM runs")).all() == [(0.25,)]
        assert session.execute(text("SELECT * FROM result_values")).all() == [(1, "accuracy.accuracy", 0.75)]
        assert session.execute(text("SELECT * FROM latest_values")).all() == [(1, "loss", 0.5)]
    database.close()
    assert differences(settings) == []


def test_without_pg_trgm_words_are_found_and_the_migration_says_how_to_get_an_index(
    postgresql_settings: Settings, caplog: pytest.LogCaptureFixture
):
    database = Database(postgresql_settings.database_url)
    role = f"plain_{uuid.uuid4().hex[:12]}"
    with database.write() as session:
        session.execute(text(f"CREATE ROLE {role} LOGIN"))
        session.execute(text(f"GRANT ALL ON SCHEMA public TO {role}"))  # but it may not create in the database
    try:
        url = postgresql_settings.database_url.replace("postgres@", f"{role}@")
        migrate.upgrade(Settings(home=postgresql_settings.home, database_url=url))
        (warning,) = caplog.messages
        assert "permission denied" in warning
        with database.write() as session:
            launch(session)
        assert found(database) == ([1], [1])
        advice = warning.partition("execute")[2]
        with database.write() as session:
            for statement in advice.strip(";\n").split(";"):
                session.execute(text(statement))
        assert found(database) == ([1], [1]) and differences(postgresql_settings) == []
        with migrate._connection(postgresql_settings) as connection:
            command.downgrade(migrate._config(connection), "0026")
    finally:
        with database.write() as session:
            session.execute(text(f"DROP OWNED BY {role} CASCADE"))
            session.execute(text(f"DROP ROLE {role}"))
        database.close()


def launch(session: Session) -> None:
    planned = specs.plan(Catalog.built_in(), {}, None)
    experiments.create(session, name="plainly", notes="", tags=[], request={}, planned=planned, provenance={})


def found(database: Database) -> tuple[list[int], list[int]]:
    """Return the runs and the experiments with a word of theirs."""
    with database.read() as session:
        listed = run_listing.sorted_runs(session, Filter(query="BlockMNIST"), sort="id", descending=True)
        named = experiments.listing(session, before=None, limit=5, query="PLAIN")
    return [run.id for run in listed], [item.id for item in named]


@pytest.mark.parametrize("kind", ["sqlite_settings", "postgresql_settings"])
def test_words_of_before_are_found_and_the_index_can_be_removed(kind: str, request: pytest.FixtureRequest):
    settings: Settings = request.getfixturevalue(kind)
    migrate.upgrade(settings)
    database = Database(settings.database_url)
    for number in (1, 2):
        with database.write() as session:
            launch(session)
        with migrate._connection(settings) as connection:
            command.downgrade(migrate._config(connection), "0026")  # without an index
            connection.commit()
        migrate.upgrade(settings)
        assert found(database) == ([2, 1][-number:], [2, 1][-number:])
    database.close()
    assert differences(settings) == []
