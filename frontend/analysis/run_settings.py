"""The settings of a run beside their defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from densitylab.backend.shared.contracts import Run, RunSpec
from densitylab.backend.shared.statistics.groups import flatten
from densitylab.frontend.analysis.setting_names import setting_label, setting_text
from densitylab.frontend.client.catalog import Catalog

_ELSEWHERE = "evaluations"  # they have a table of their own


@dataclass(frozen=True)
class Setting:
    """A setting with its value and its default, in words."""

    part: str  # of the spec, such as a regularizer; "" for what belongs to no part
    name: str
    value: str
    default: str
    differs: bool


def run_settings(run: Run, catalog: Catalog) -> list[Setting]:
    """Return the settings that are known of a run, in the order of the spec."""
    own = flatten({name: value for name, value in run.known_spec.items() if name != _ELSEWHERE})
    defaults = _defaults(own, catalog)
    return [
        Setting(
            part=name.partition(".")[0] if "." in name else "",
            name=setting_label(name, own, catalog),
            value=setting_text(name, own, catalog),
            default=setting_text(name, defaults, catalog) if name in defaults else "depends on the data set",
            differs=name in defaults and value != defaults[name],
        )
        for name, value in own.items()
    ]


def _defaults(own: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """Return the defaults by dotted path: the spec's, and of the chosen components those of the catalog."""
    defaults = flatten(RunSpec().model_dump(mode="json"))
    for name, key in own.items():
        kind, _, rest = name.partition(".")
        entry = catalog.entry(kind, str(key)) if rest == "key" else None
        for param in entry.params if entry else ():
            defaults |= flatten({f"{kind}.params.{param.name}": param.default})
    return defaults
