"""The launch form's name, tags, priority and notes. Name and tags follow the settings until they are edited."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import ExperimentRequest, Priority
from densitylab.frontend.analysis.formatting import counted, readable
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.presets import PRESETS
from densitylab.frontend.launch_form.changes import readable_changes
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.sweeps import Method, Plan, form_plan
from densitylab.frontend.ui.widgets import numbers_text

COPY_OF = "Copy of "  # in front of the name of a copied experiment
_LONGEST_NAME = 200
_MOST_LISTED = 4  # values of a parameter
_MOST_NAMED = 2  # regularizers; more are counted
_NO_TAGS = ("none",)  # keys of components that say nothing


@dataclass(frozen=True)
class Labels:
    """The name and the tags of a launch until the user edits them."""

    name: str
    tags: list[str]


def labels_of(
    request: ExperimentRequest, original: ExperimentRequest, *, typed: Collection[str] = (), catalog: Catalog
) -> Labels:
    """Return the labels that suit the request's settings.

    Args:
        request: with the settings that the form shows.
        original: what the form began with, whose labels suit its settings.
        typed: those of "name" and "tags" that do not stem from the settings of the original: changes are added to the
            name, the tags stay.
        catalog: the API's.
    """
    changed = readable_changes(original, request, catalog)
    if not changed:
        return Labels(original.name, list(original.tags))
    name, tags = original.name, list(original.tags)
    if "name" in typed:
        differences = ", ".join(f"{change.label} {change.old} → {change.new}" for change in changed)
        name = _shortened(f"{name}: {differences}")
    else:
        name = _described(request, catalog)
    return Labels(name, tags if "tags" in typed else _keys(request))


def typed_labels(name: str, tags: Sequence[str], launched: ExperimentRequest, catalog: Catalog) -> frozenset[str]:
    """Return those of "name" and "tags" that the form has not given an experiment that was launched with these
    settings, from them or as a preset's."""
    while name.startswith(COPY_OF):
        name = name.removeprefix(COPY_OF)
    named = {_described(launched, catalog), *(preset.request.name for preset in PRESETS)}
    tagged = [_keys(launched), *(preset.request.tags for preset in PRESETS)]
    automatic = {"name": name in named, "tags": set(tags) in map(set, tagged)}
    return frozenset(label for label, follows in automatic.items() if not follows)


def _keys(request: ExperimentRequest) -> list[str]:
    """Return the keys of data set, model and regularizers."""
    plan = form_plan(request)
    kinds = [plan.spec["dataset"]["key"], plan.spec["model"]["key"], *_regularizers(plan)]
    return [key for key in dict.fromkeys(kinds) if key not in _NO_TAGS]


def _regularizers(plan: Plan) -> list[str]:
    return [plan.spec["regularizer"]["key"], *(method.component["key"] for method in plan.methods)]


def _described(request: ExperimentRequest, catalog: Catalog) -> str:
    """Return data set and model, up to two regularizers with their λ or else their number, what else varies, and the
    seeds."""
    plan = form_plan(request)
    searched = _searched(request)
    methods = Method(plan.spec["regularizer"], plan.grid["lambda_"]), *plan.methods
    penalised = [key for key in _regularizers(plan) if key not in _NO_TAGS]
    seeds = plan.grid["seed"]
    parts = [
        catalog.label("dataset", plan.spec["dataset"]["key"]),
        catalog.label("model", plan.spec["model"]["key"]),
        *(
            [_method_text(method, catalog, with_lambdas=not searched) for method in methods]
            if len(methods) <= _MOST_NAMED
            else [counted(len(penalised), "regularizer")]
        ),
        *searched,
        *(_axis_text(path, values) for path, values in plan.grid.items() if path not in ("lambda_", "seed")),
        f"seed {seeds[0]}" if len(seeds) == 1 else counted(len(seeds), "seed"),
    ]
    return _shortened("; ".join(parts))


def _searched(request: ExperimentRequest) -> list[str]:
    """Return what a search varies; nothing without one."""
    if request.search is None:
        return []
    if request.search.kind == "bracket":
        return ["search for λ"]
    return [f"search for {' and '.join(_axis_name(item.path) for item in request.search.parameters)}"]


def _method_text(method: Method, catalog: Catalog, *, with_lambdas: bool) -> str:
    label = catalog.label("regularizer", method.component["key"])
    entry = catalog.entry("regularizer", method.component["key"])
    if not with_lambdas or (entry is not None and not entry.params):  # without parameters there is nothing to weigh
        return label
    return f"{label} λ = {_values_text(method.lambdas)}"


def _axis_text(path: str, values: Sequence[Any]) -> str:
    return f"{_axis_name(path)} = {_values_text(values)}"


def _axis_name(path: str) -> str:
    return "λ" if path == "lambda_" else readable(path.rpartition(".")[2])


def _values_text(values: Sequence[Any]) -> str:
    """Return up to four values, and of more the first, the last and the number."""
    texts = [
        numbers_text([value])
        if isinstance(value, int | float) and not isinstance(value, bool)
        else readable(str(value))
        for value in values
    ]
    return ", ".join(texts) if len(texts) <= _MOST_LISTED else f"{texts[0]} to {texts[-1]} ({len(texts)} values)"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def draw_labels(request: ExperimentRequest, form: FormContext, labels: Labels | None) -> dict[str, Any]:
    """Draw the fields; return them by name.

    Args:
        request: what the fields start with.
        form: the form.
        labels: for name and tags that nobody has edited; None: they stay.
    """
    name_key, tags_key = f"{form.key}/name", f"{form.key}/tags"
    name, tags = request.name, list(request.tags)
    if labels is not None:
        name = _follow(name_key, name, labels.name, empty="")
        tags = _follow(tags_key, tags, labels.tags)
    name_cell, tags_cell, priority_cell = st.columns([3, 2, 1])
    with name_cell:
        name = st.text_input(
            "Name",
            name,
            key=name_key,
            persist_state="page",
            max_chars=_LONGEST_NAME,
            help="Follows the settings until you edit it. Empty it to let it follow again.",
        )
        form.errors.show("/name")
    with tags_cell:
        tags = st.multiselect(
            "Tags",
            list(dict.fromkeys([*request.tags, *tags, *(st.session_state.get(tags_key) or [])])),
            tags,
            key=tags_key,
            persist_state="page",
            accept_new_options=True,
            placeholder="type and press Enter",
            help="Follow the settings until you edit them.",
            select_all=False,
        )
        form.errors.show("/tags")
    with priority_cell:
        priority = st.selectbox(
            "Priority",
            list(Priority),
            list(Priority).index(request.priority),
            key=f"{form.key}/priority",
            persist_state="page",
            format_func=lambda item: item.value,
            help="Queued runs of higher priority start first; running ones are not interrupted.",
        )
    notes = st.text_area(
        "Notes",
        request.notes,
        key=f"{form.key}/notes",
        persist_state="page",
        height=80,
        placeholder="What do you want to find out?",
    )
    form.errors.show("/notes")
    return {"name": name, "tags": tags, "priority": priority, "notes": notes}


def _follow(key: str, start: Any, automatic: Any, empty: Any = None) -> Any:
    """Give the widget the automatic value if it has the last automatic one, or is empty; return its value."""
    last = f"{key}/automatic"
    current = st.session_state.get(key, start)
    value = automatic if current in (st.session_state.get(last), empty) else current
    st.session_state[last] = automatic
    if key in st.session_state and value != current:
        st.session_state[key] = value
    return value
