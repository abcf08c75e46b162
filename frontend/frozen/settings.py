"""The set-up of several runs: what varies between them, and what all of them share."""

from collections.abc import Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts import Run
from densitylab.frontend.analysis.formatting import readable
from densitylab.frontend.analysis.run_settings import Setting, run_settings
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.report.tables import Table

_COLUMNS = ["setting", "value", "default"]


@dataclass(frozen=True)
class SetUp:
    """Tables of settings."""

    varied: Table  # a row per setting with all its values
    chosen: Table  # shared by all runs, and not the default
    shared: Table  # by all runs


def set_up(runs: Sequence[Run], catalog: Catalog) -> SetUp:
    """Return the settings of the runs in words."""
    of_runs = [run_settings(run, catalog) for run in runs]
    common = set.intersection(*map(set, of_runs))
    values: dict[str, dict[str, None]] = {}
    for item in (item for settings in of_runs for item in settings if item not in common):
        values.setdefault(_name(item), {})[item.value] = None
    shared = [item for item in of_runs[0] if item in common]
    return SetUp(
        Table(["setting", "values"], [[name, ", ".join(options)] for name, options in values.items()]),
        settings_table([item for item in shared if item.differs]),
        settings_table(shared),
    )


def settings_table(settings: Sequence[Setting]) -> Table:
    """Return a row per setting with its default."""
    return Table(_COLUMNS, [[_name(item), item.value, item.default] for item in settings])


def _name(item: Setting) -> str:
    part = readable(item.part)
    return item.name if not part or item.name == part else f"{part}: {item.name}"
