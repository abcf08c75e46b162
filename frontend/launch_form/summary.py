"""The launch form's summary: price, errors, the button, and warnings."""

from collections.abc import Iterator
from itertools import accumulate

import streamlit as st

from densitylab.backend.shared.contracts import ExperimentRequest, Preflight, RunSpec
from densitylab.frontend.analysis.formatting import counted, escaped, readable
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.launch_form.cheaper_model import cheaper_model
from densitylab.frontend.launch_form.cost import with_values
from densitylab.frontend.launch_form.draft import change_settings
from densitylab.frontend.launch_form.remarks import Remark, radius_remarks, shares_baseline, size_remarks
from densitylab.frontend.launch_form.sweeps import count_runs
from densitylab.frontend.ui.field_errors import FieldErrors, named
from densitylab.frontend.ui.jumps import follow_jumps, jump_link
from densitylab.frontend.ui.price import EVALUATION_BASIS, memory_text, queue_text, time_text


def draw_summary(
    request: ExperimentRequest | None, cost: Preflight | None, errors: FieldErrors, catalog: Catalog
) -> bool:
    """Draw it; return whether the button was clicked.

    Args:
        request: of the form; None: it cannot be read.
        cost: of the request; None: not known.
        errors: of the form; with one there is no launch.
        catalog: the API's.
    """
    follow_jumps()
    if request is not None and cost is not None:
        _draw_price(request, cost, catalog)
    for error in errors.errors:
        st.markdown(f":red[:material/error:] {jump_link(named(error), errors.anchor(error))}")
    launchable = request is not None and not errors.errors and (cost is None or cost.launchable)
    clicked = st.button(
        _label(request),
        type="primary",
        icon=":material/rocket_launch:",
        disabled=not launchable,
        key="launch-button",
        width="stretch",
        help="Ctrl + Enter",
    )
    remarks = [] if request is None else [*size_remarks(request, catalog), *radius_remarks(request, catalog)]
    if cost is not None:
        _draw_obstacles(cost)
        remarks += [Remark(item.text, item.pointer, item.remedy) for item in cost.cautions]
    for number, remark in enumerate(remarks):
        _draw_remark(remark, request, errors, number)
    notes = list(cost.notes) if cost is not None else []
    if request is not None and shares_baseline(request):
        notes.append("λ = 0 is trained once per seed, as the baseline of all regularizers.")
    for note in notes:
        st.caption(f":material/info: {escaped(note)}")
    return clicked and launchable


def _label(request: ExperimentRequest | None) -> str:
    if request is None:
        return "Launch"
    return "Start the search" if request.search is not None else f"Launch {counted(count_runs(request.sweep), 'run')}"


def _draw_price(request: ExperimentRequest, cost: Preflight, catalog: Catalog) -> None:
    most = f" to {cost.max_runs:,}" if cost.max_runs > cost.runs else ""

    def scaled(seconds: float | None) -> str:
        return time_text(None if seconds is None else seconds * cost.max_runs / cost.runs)

    up_to = "up to " if most and cost.seconds is not None else ""
    left, right = st.columns(2)
    left.metric("Runs", f"{cost.runs:,}{most}")
    right.metric("Steps", f"{cost.steps:,}", help="Training steps of all runs together")
    left.metric(
        "Training",
        up_to + scaled(cost.seconds),
        help=f"On {counted(cost.workers, 'training worker')}. {cost.basis_text}",
    )
    right.metric(
        "Evaluations",
        scaled(cost.evaluation_seconds),
        help=f"On the same workers, which evaluate a run once it is trained. {EVALUATION_BASIS[cost.evaluation_basis]}",
    )
    if cost.seconds is not None and cost.evaluation_seconds is not None:
        in_all = up_to + scaled(cost.seconds + cost.evaluation_seconds)
        right.metric("In all", in_all, help="Training and evaluations")
    left.metric(
        "Tensors per run",
        memory_text(cost),
        help=f"{cost.memory_formula}. The worker's process has the libraries in memory besides.",
    )
    st.caption(" · ".join([_around(request, cost), escaped(cost.basis_text), *_in_all_range(cost)]))
    if most := _dearest(request, cost, catalog):
        st.caption(most)
    if cheaper := cheaper_model(request, cost, catalog):
        st.caption(cheaper)


def _in_all_range(cost: Preflight) -> Iterator[str]:
    """Yield from when to when the launch takes, where it is known and estimated within a factor of two."""
    if cost.seconds is None or cost.evaluation_seconds is None:
        return
    parts = [(cost.seconds, cost.basis), (cost.evaluation_seconds, cost.evaluation_basis)]
    factors = [1 if basis == "measured" else 2 for _, basis in parts]
    if factors == [1, 1]:
        return
    scale = cost.max_runs / cost.runs
    low = scale * sum(seconds / factor for (seconds, _), factor in zip(parts, factors, strict=True))
    high = scale * sum(seconds * factor for (seconds, _), factor in zip(parts, factors, strict=True))
    unit, name = (1, "s") if high < 120 else (60, "min") if high < 7200 else (3600, "h")
    yield f"in all {low / unit:.2g} to {high / unit:.2g} {name}"


def _dearest(request: ExperimentRequest, cost: Preflight, catalog: Catalog) -> str:
    """Return which of several regularizers takes most of the training; empty where none stands out."""
    grids = request.sweep if isinstance(request.sweep, list) else []
    counts = [count_runs(grid) for grid in grids]
    known = [seconds for seconds in cost.seconds_per_run if seconds is not None]
    if len(grids) < 2 or sum(counts) != len(known):
        return ""
    ends = list(accumulate(counts))
    sums = [sum(known[end - count : end]) for end, count in zip(ends, counts, strict=True)]
    largest = max(range(len(grids)), key=sums.__getitem__)
    share = sums[largest] / sum(known)
    if share < 1.5 * counts[largest] / len(known):
        return ""
    spec = RunSpec.model_validate(request.spec)
    key = (grids[largest].get("regularizer") or [spec.regularizer.model_dump()])[0]["key"]
    entry = catalog.entry("regularizer", key)
    return f"{escaped(entry.label if entry else key)} takes {100 * share:.0f} % of the training."


def _around(request: ExperimentRequest, cost: Preflight) -> str:
    """Return what comes before and after the trainings: the queue and the evaluations."""
    spec = RunSpec.model_validate(request.spec)
    each = len({(item.key, item.name, item.split) for item in spec.evaluations} | {("accuracy", None, "test")})
    evaluated = f"{counted(cost.runs * each, 'evaluation')} afterwards"
    return f"{queue_text(cost)} · {evaluated}"


def _draw_obstacles(cost: Preflight) -> None:
    if not cost.workers:
        st.warning("No training worker is running: the runs wait until one starts.", icon=":material/warning:")
    for data in cost.data:
        if data.status == "absent":
            st.error(f"The data set {data.key} is not prepared.", icon=":material/cloud_off:")
            st.page_link("app_pages/datasets.py", label="Prepare it", icon=":material/download:")


def _draw_remark(remark: Remark, request: ExperimentRequest | None, errors: FieldErrors, number: int) -> None:
    """Draw a line that leads to the field, where the whole warning is, and the button that avoids it; the values of a
    sweep stay."""
    anchor = errors.warn(remark.pointer, remark.text)
    with st.container(key=f"launch-warning-{number}" if anchor else None):
        st.markdown(f":orange[:material/warning:] {jump_link(remark.text, anchor)}")
    if request is None or remark.remedy is None or not remark.pointer.startswith("/spec"):
        return
    changes = ", ".join(f"{readable(path.split('.')[-1])} {_value(value)}" for path, value in remark.remedy.items())
    if st.button(f"Use {changes}", key=f"remedy-{number}"):
        change_settings(with_values(request, remark.remedy))
        st.rerun()


def _value(value: object) -> str:
    return " × ".join(map(str, value)) if isinstance(value, list) else str(value)
