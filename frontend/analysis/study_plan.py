"""The runs that a study would launch, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from densitylab.backend.shared.contracts.studies import StudyLaunchPreflight
from densitylab.backend.shared.statistics.groups import flatten
from densitylab.frontend.analysis.formatting import readable, strength, title
from densitylab.frontend.analysis.setting_names import setting_label
from densitylab.frontend.analysis.study_text import TextTable
from densitylab.frontend.client.catalog import Catalog

_ALWAYS = {"key": "accuracy"}  # measured of every run
_SHORT = {"epsilons": "ε", "samples": "images"}  # parameters of evaluations


def plan_table(launches: Sequence[StudyLaunchPreflight], catalog: Catalog) -> TextTable:
    """Return a row per launch and grid of its sweep: the methods with their λ, the seeds, data set and network."""
    rows = [
        [
            launch.label,
            _component("dataset", launch.spec["dataset"], catalog),
            _component("model", launch.spec["model"], catalog),
            _methods(grid, catalog),
            _lambdas(grid, launch.search),
            _text((launch.search or {}).get("seeds") or grid.get("seed", [0])),
        ]
        for launch in launches
        for grid in (launch.sweep if isinstance(launch.sweep, list) else [launch.sweep or {}])
    ]
    columns = ["part", "data set", "network", "methods", "λ", "seeds"]
    return TextTable("Runs", columns, rows, [[] for _ in rows], [])


def evaluation_lines(launches: Sequence[StudyLaunchPreflight], catalog: Catalog) -> list[str]:
    """Return the evaluations of the launches in words, those that launches share in one line."""
    parts: dict[str, list[str]] = {}
    for launch in launches:
        every = _evaluations([_ALWAYS, *launch.spec.get("evaluations", ())], catalog)
        selected = _evaluations(launch.of_selected, catalog)
        text = f"each run: {every}" + (f". At the selected λ alone: {selected}" if selected else "")
        parts.setdefault(text, []).append(launch.label)
    return [text if len(parts) == 1 else f"{'; '.join(labels)}, {text}" for text, labels in parts.items()]


def _methods(grid: Mapping[str, Any], catalog: Catalog) -> str:
    """Return the regularizers of a grid, and what else varies within it."""
    regularizers = grid.get("regularizer", ())
    settings = {f"{path}.key": values[0]["key"] for path, values in grid.items() if isinstance(values[0], Mapping)}
    others = [
        f"{setting_label(path, settings, catalog)}: "
        + ", ".join(_component(path, item, catalog) if isinstance(item, Mapping) else _text(item) for item in values)
        for path, values in grid.items()
        if path not in ("regularizer", "lambda_", "seed")
    ]
    return "; ".join([*(_component("regularizer", item, catalog) for item in regularizers), *others])


def _lambdas(grid: Mapping[str, Any], search: Mapping[str, Any] | None) -> str:
    if search is None:
        return _text(grid.get("lambda_", [0]))
    return f"searched by half decades from {search['start']:g}, at most {search['max_candidates']} of each method"


def _component(kind: str, item: Mapping[str, Any], catalog: Catalog) -> str:
    """Return the label of a component with its parameters."""
    settings = flatten({kind: dict(item)})
    stated = [
        f"{setting_label(name, settings, catalog)} {_text(value)}"
        for name, value in settings.items()
        if name != f"{kind}.key"
    ]
    return ", ".join([catalog.label(kind, item["key"]), *stated])


def _evaluations(items: Sequence[Mapping[str, Any]], catalog: Catalog) -> str:
    """Return the evaluations in words, those on two splits once."""
    splits: dict[str, list[str]] = {}
    for item in items:
        splits.setdefault(_evaluation(item, catalog), []).append(item.get("split", "test"))
    return "; ".join(text if of == ["test"] else f"{text} on {' and '.join(of)} images" for text, of in splits.items())


def _evaluation(item: Mapping[str, Any], catalog: Catalog) -> str:
    entry = catalog.entry("evaluation", item["key"])
    params = {param.name: param for param in entry.params} if entry else {}
    stated = []
    for name, value in item.get("params", {}).items():
        param = params.get(name)
        label = _SHORT.get(name) or (title(param).lower() if param else readable(name))
        kind = param.kind if param and isinstance(value, Mapping) else None
        stated.append(f"{label} {_component(kind, value, catalog) if kind else _text(value)}")
    return catalog.label("evaluation", item["key"]) + (f" ({', '.join(stated)})" if stated else "")


def _text(value: Any) -> str:
    """Return a value, or several, in words."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return strength(value) if isinstance(value, float) else readable(str(value))
