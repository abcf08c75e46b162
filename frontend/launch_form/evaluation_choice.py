"""The launch form's choice of evaluations."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import CatalogEntry
from densitylab.frontend.launch_form.attack_epsilon import attack_defaults, chosen_epsilon, usual_epsilon
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.evaluation_form import applicable
from densitylab.frontend.ui.number_field import number_field
from densitylab.frontend.ui.widgets import parameters

MOST_VARIANTS = 9


def draw_evaluations(
    form: FormContext,
    dataset: CatalogEntry | None,
    field: str = "/spec/evaluations",
    settings: DeltaGenerator | None = None,
) -> list[dict[str, Any]]:
    """Draw the evaluations that the data set allows, each in one or several variants; return the chosen ones as
    {key, params}, with a name where it is not the key, followed by those on validation images, which have a split.
    `field` is the JSON pointer of their list in the request; `settings` is where all but the choice is drawn, unless it
    is below the choice."""
    entries = [entry for entry in form.catalog.entries("evaluation") if applicable(entry, dataset)]
    given = variants_by_key(form.spec["evaluations"])
    key = f"{form.key}/evaluations"
    _add_group_accuracy(key, entries, dataset)
    picked = st.multiselect(
        "Evaluations",
        entries,
        [entry for entry in entries if entry.key in given],
        key=key,
        persist_state="page",
        format_func=lambda entry: entry.label,
        select_all=False,
    )
    chosen: list[dict[str, Any]] = []
    repeatable: list[dict[str, Any]] = []  # on validation images
    with settings or nullcontext():
        st.caption("Evaluations run once the model is there. Test accuracy is always evaluated.")
        for entry in picked:
            first = len(chosen)
            epsilon = chosen_epsilon(chosen, form.catalog, usual_epsilon(dataset))
            chosen += _draw_variants(form, entry, given.get(entry.key, []), dataset, field, first, epsilon)
            repeatable += [] if entry.needs_corruptions else chosen[first:]
        again = st.toggle(
            "On validation images too",
            any(item.get("split") == "validation" for item in form.spec["evaluations"]),
            key=f"{form.key}/validation",
            persist_state="page",
            help="Then λ is selected by these results on validation images, and test images stay unseen until the end. "
            "Takes as long again.",
        )
    if again:
        chosen += [
            {**item, "split": "validation", **({"name": f"{item['name']}_validation"} if "name" in item else {})}
            for item in [{"key": "accuracy", "params": {}}, *(item for item in repeatable if item["key"] != "accuracy")]
        ]
    return chosen


def _add_group_accuracy(key: str, entries: Sequence[CatalogEntry], dataset: CatalogEntry | None) -> None:
    """Add the accuracy of groups to the choice under `key` once a data set with groups takes the place of another."""
    name = dataset.key if dataset else None
    before = st.session_state.get(f"{key}/dataset", name)
    st.session_state[f"{key}/dataset"] = name
    if before != name and dataset is not None and dataset.has_groups and key in st.session_state:
        chosen = st.session_state[key]
        st.session_state[key] = [entry for entry in entries if entry in chosen or entry.needs_groups]


def variants_by_key(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the evaluations of a spec by their key: those on test images, and those that are on validation images
    alone, with the names that they have on test images; "" stands for the key. The accuracy on validation images, which
    comes with "On validation images too", is left out."""
    by_key: dict[str, list[dict[str, Any]]] = {}
    for item in sorted(evaluations, key=lambda item: item.get("split") == "validation"):
        if item["key"] == "accuracy" and item.get("split") == "validation":
            continue
        variants = by_key.setdefault(item["key"], [])
        if any(variant["params"] == item.get("params", {}) for variant in variants):
            continue
        name = item.get("name") or item["key"]
        if item.get("split") == "validation":
            name = name.removesuffix("_validation")
        variants.append({"name": "" if name == item["key"] else name, "params": item.get("params", {})})
    return by_key


def _draw_variants(
    form: FormContext,
    entry: CatalogEntry,
    given: Sequence[Mapping[str, Any]],
    dataset: CatalogEntry | None,
    field: str,
    first: int,
    epsilon: float,
) -> list[dict[str, Any]]:
    """Draw the settings of an evaluation, once for each of its variants; `first` is the index of the first in the
    request, and an attack begins with the radius `epsilon`."""
    if not entry.params:
        form.errors.show(f"{field}/{first}")
        return [{"key": entry.key, "params": {}}]
    chosen: list[dict[str, Any]] = []
    count = max(len(given), 1)
    while len(chosen) < count:
        number = len(chosen)
        start: Mapping[str, Any] = given[number] if number < len(given) else {"name": "", "params": {}}
        at, key = f"{field}/{first + number}", f"{form.key}/evaluations/{entry.key}" + (f"/{number}" if number else "")
        variant = f", variant {number + 1}" if number else ""
        with st.expander(f"{entry.label}{variant}: settings", key=f"{key}/settings"):
            if number == 0:
                st.caption(entry.summary)
                asked = number_field(
                    "Variants",
                    min(count, MOST_VARIANTS),
                    key=f"{key}/variants",
                    whole=True,
                    help="How often it runs, with settings of its own each time, such as another attribution method. "
                    "Each variant has a name and its own results.",
                )
                form.errors.show(f"{at}/variants")
                if isinstance(asked, int) and 1 <= asked <= MOST_VARIANTS:
                    count = asked
                else:
                    form.errors.refuse(f"{at}/variants", f"expected a whole number from 1 to {MOST_VARIANTS}")
                    count = 1
            name = start["name"]
            if count > 1 or name:
                name = st.text_input(
                    "Name",
                    name or entry.key + (f"_{number + 1}" if number else ""),
                    key=f"{key}/name",
                    persist_state="page",
                    help="Prefix of the results: lower-case letters, digits and underscores",
                )
                form.errors.show(f"{at}/name")
            params = parameters(
                form.catalog,
                entry,
                start["params"],
                key=key,
                at=f"{at}/params",
                errors=form.errors,
                dataset=dataset,
                defaults=attack_defaults(entry, epsilon),
            )
        if radii := params.get("epsilons"):
            st.caption(f"{entry.label}{variant} at ε = {', '.join(f'{radius:.4g}' for radius in radii)}.")
        form.errors.show(at)
        named = {"name": name} if name and name != entry.key else {}
        chosen.append({"key": entry.key, "params": params, **named})
    return chosen
