"""A database of many runs: some that the store made, and copies of their rows made by SQL."""

import math
from collections.abc import Mapping, Sequence

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from benchmarks.seed_database import CURVES, MEASURES, curve, finish, random_value, succeed
from densitylab.backend.ops import restored_rows
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import evaluations, experiments, logs, metrics, run_artifacts, runs, tasks, totals
from densitylab.backend.shared.tables import Base

RUNS, PER_EXPERIMENT = 200, 10  # that the store makes, and that are copied
POINTS = 2  # per curve of each run
_REGULARIZERS = ("marginal_density", "none", "input_gradient", "jacobian")
RARE = "rare"  # tag, regularizer, model and word of one run, the oldest
RARE_PAIR = "zq"  # in its notes too
# Columns that refer to rows of a table; copies refer to the copies
_REFERENCES = {"experiment_id": "experiments", "run_id": "runs", "task_id": "tasks", "after_task": "tasks"}
_NUMBERED = ("experiments", "runs", "tasks")  # with ids that others refer to
_OF_RUNS = (
    "evaluations",
    "artifacts",
    "log_lines",
    "events",
    "result_values",
    "latest_values",
    "run_tags",
    "run_texts",
    "metrics",
)


class GrowingDatabase:
    """A migrated database that `grow` fills.

    Attributes:
        rare: the run that the rare filters find, the oldest.
        long: a run for a curve of many points.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._catalog = Catalog.built_in()
        self.rare, self.long, *_ = self._experiment(4)
        first = self._ranges(after={})
        for number in range(RUNS // PER_EXPERIMENT):
            self._finish(self._experiment(PER_EXPERIMENT, number), failing=number % 5 == 0)
        self._block = self._ranges(after={name: last for name, (_, last) in first.items()})
        self._copies = 0
        with database.write() as session:
            session.execute(
                text("UPDATE runs SET regularizer = :rare, model = :rare WHERE id = :run"),
                {"rare": RARE, "run": self.rare},
            )
            runs.patch(
                session, self.rare, {"tags": [RARE], "notes": f"a {RARE} note {RARE_PAIR}, λüß, 97 %", "archived": True}
            )

    def grow(self, count: int) -> None:
        """Copy the finished runs until the database has about this many."""
        wanted = math.ceil(count / RUNS) - 1
        if wanted > self._copies:
            # One transaction per 50 copies: the write-ahead log of SQLite grows with the longest one
            for start in range(self._copies + 1, wanted + 1, 50):
                with self.database.write() as session:
                    for name in (*_NUMBERED, *_OF_RUNS):
                        self._copy(session, name, start, min(start + 49, wanted))
            with self.database.write() as session:
                restored_rows.set_sequences(session)
                totals.merge(session)  # as the reconciler does every 30 s
            self._copies = wanted
        if self.database.engine.dialect.name == "postgresql":
            with self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
                # Its triggers' rows of all copies, which no lab writes between two sums, would stay as empty pages
                connection.execute(text(f"VACUUM FULL {totals.TABLE.name}"))

    def add_points(self, run_id: int, count: int) -> None:
        """Store one curve of this many points."""
        for start in range(0, count, 50_000):
            points = [
                metrics.Point("long", step, step / 1000, math.sin(step / 1000), step / 100)
                for step in range(start, min(start + 50_000, count))
            ]
            with self.database.write() as session:
                metrics.append(session, run_id, points)

    def _experiment(self, count: int, number: int = 0) -> list[int]:
        spec = {"regularizer": {"key": _REGULARIZERS[number % len(_REGULARIZERS)]}, "epochs": 3}
        sweep = {"seed": [number * count + index for index in range(count)]}
        with self.database.write() as session:
            row = experiments.create(
                session,
                name=f"growing {number}",
                notes="",
                tags=["growth"],
                request={"name": f"growing {number}", "spec": spec, "sweep": sweep},
                planned=specs.plan(self._catalog, spec, sweep),
                provenance={"version": "0", "packages": {"torch": "2.15.0", "numpy": "2.3.0"}},
            )
            return experiments.run_ids(session, row.id)

    def _finish(self, run_ids: Sequence[int], *, failing: bool) -> None:
        with self.database.write() as session:
            for position, run_id in enumerate(run_ids):
                runs.patch(session, run_id, {"tags": ["growth", f"t{position}"], "notes": f"run {position} of many"})
                for name in CURVES:
                    metrics.append(session, run_id, curve(name, POINTS))
                logs.append(session, run_id, [(0.0, "info", "epoch 1 of 3")])
                if failing and position == 0:
                    claim = tasks.claim(
                        session, runs.train_task(session, run_id) or 0, worker="benchmark", lease_seconds=60
                    )
                    assert claim is not None
                    tasks.finish(session, claim, Status.FAILED, "an error")
                    continue
                finish(session, run_id)
                run_artifacts.move_checkpoint(
                    session, run_id, location=f"runs/{run_id}/checkpoints/1-9.pt", size=1000, step=9, final=True
                )
                runs.set_metrics(session, run_id, dict.fromkeys(CURVES, 1 / (run_id + 1)))
                for item in evaluations.of_run(session, run_id):
                    values = {
                        name.partition(".")[2]: random_value(run_id / 1000)
                        for name in MEASURES
                        if name.startswith(item.name)
                    }
                    evaluations.store(session, item.id, values=values, curves={}, flags=[], seconds=1.0, provenance={})
                    succeed(session, item.task)

    def _ranges(self, after: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Return the ids that each table has after these: the last before the first one, and the last."""
        with self.database.read() as session:
            return {
                name: (
                    after.get(name, 0),
                    session.scalar(select(func.max(Base.metadata.tables[name].c.id))) or after.get(name, 0),
                )
                for name in _NUMBERED
            }

    def _copy(self, session: Session, name: str, first: int, last: int) -> None:
        """Insert the copies with these numbers of the block's rows of a table."""
        if name not in Base.metadata.tables:
            return
        table = Base.metadata.tables[name]
        sizes = {table: end - start for table, (start, end) in self._block.items()}
        columns = []
        for column in table.columns:
            if column.name == "id" and name not in _NUMBERED:
                continue  # the database numbers them
            refers = name if column.name == "id" else _REFERENCES.get(column.name)
            shift = f" + k * {sizes[refers]}" if refers in sizes else ""
            # Later, and with other results: copies with the same sort keys would not be sorted
            shift = " + k" if column.name in ("created_at", "started_at", "finished_at") else shift
            shift = " + k * 1e-7" if name in ("result_values", "latest_values") and column.name == "value" else shift
            columns.append((f'"{column.name}"', f'"{column.name}"{shift}'))
        start, end = self._block[name if name in self._block else "runs"]
        number = "id" if name in self._block else "run_id"
        session.execute(
            text(
                f"WITH RECURSIVE copies(k) AS (SELECT {first} UNION ALL SELECT k + 1 FROM copies WHERE k < {last}) "
                f"INSERT INTO {name} ({', '.join(own for own, _ in columns)}) "
                f"SELECT {', '.join(value for _, value in columns)} FROM copies CROSS JOIN {name} "
                f"WHERE {number} > {start} AND {number} <= {end}"
            )
        )
