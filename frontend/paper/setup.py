"""The setup that the rows of a table share, as sentences of its caption."""

import json
from collections.abc import Sequence
from typing import Any

from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.statistics.groups import Column, Group
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.analysis.setting_names import settings_text
from densitylab.frontend.client.catalog import Catalog

_ALWAYS = ("activation",)  # parameters that results depend on too much to be left out where they are the default


def setup_notes(groups: Sequence[Group], columns: Sequence[Column], catalog: Catalog) -> list[str]:
    """Return the data set, the network and the training that all groups share, with the parameters that differ from the
    defaults, and the steps of the attacks. Models that were trained elsewhere have no known training."""
    trained = [group.settings for group in groups if group.trained_here]
    sentences = []
    if trained and len(trained) == len(groups):
        shared = {name: value for name, value in trained[0].items() if all(_has(own, name, value) for own in trained)}
        parts = [_component(kind, shared, catalog) for kind in ("dataset", "model")]
        parts.append(counted(shared["epochs"], "epoch") if "epochs" in shared else "")
        parts += [_component(kind, shared, catalog) for kind in ("optimizer", "algorithm")]
        if words := "; ".join(filter(None, parts)):
            sentences.append(f"All rows: {words}.")
    attacks = dict.fromkeys(text for column in columns if (text := _attack(column, catalog)))
    return [*sentences, *([f"{'; '.join(attacks)}."] if attacks else [])]


def _has(settings: dict[str, Any], name: str, value: object) -> bool:
    return name in settings and settings[name] == value


def _component(kind: str, settings: dict[str, Any], catalog: Catalog) -> str:
    """Return a component in words; "" where it is not shared, and for the usual algorithm, which is none."""
    entry = catalog.entry(kind, str(settings.get(f"{kind}.key")))
    if entry is None or entry.key == RunSpec().algorithm.key:
        return ""
    named = [
        at
        for param in entry.params
        if (at := f"{kind}.params.{param.name}") in settings
        and (settings[at] != param.default or param.name in _ALWAYS)
    ]
    return settings_text(settings, [f"{kind}.key", *named], catalog)


def _attack(column: Column, catalog: Catalog) -> str:
    """Return the steps and restarts of the attack behind a result; "" where it has no steps."""
    entry, params = catalog.entry("evaluation", column.evaluation), json.loads(column.params)
    if entry is None or not params.get("steps"):
        return ""
    restarts = params.get("restarts") or 1
    more = f", {counted(restarts, 'restart')}" if restarts > 1 else ""
    return f"{entry.label}: {counted(params['steps'], 'step')}{more}"
