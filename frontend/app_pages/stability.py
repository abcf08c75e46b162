"""What a perturbation does to images and to their maps, run by run, and how that grows with its strength."""

from collections.abc import Mapping, Sequence

import streamlit as st

from backend.shared.contracts import (
    Attribution,
    AttributionRequest,
    CatalogEntry,
    Component,
    Evaluation,
    EvaluationSpec,
)
from frontend.lab import link
from frontend.lab.display import choose_display
from frontend.lab.drawing import arrays, drawn
from frontend.lab.images import choose_images
from frontend.lab.methods import changed, choose_maps
from frontend.lab.perturbing import choose_perturbation, rest_of, strength_words
from frontend.lab.probe import show_values
from frontend.lab.runs import choose_runs, class_names, columns
from frontend.live_chart import live_chart, load_charts
from frontend.maps import read_maps
from frontend.panels import RunColumn, View, scale_html
from frontend.parts import REFRESH_SECONDS, api, problems_shown
from frontend.stability_curves import STABILITY, asked, curves, points, table
from frontend.stability_panels import MEASURES, html, stability_figure
from frontend.widgets import number_list
from frontend.words import joined

IMAGES = (100, 500, 1000)  # of the sample set that a curve is measured on


@st.fragment
def show(answer: Attribution, method: CatalogEntry, shown: Sequence[RunColumn], class_names: Sequence[str],
         told: dict) -> None:
    """The pictures with the controls of how they are drawn."""
    content = arrays(answer.id)
    display = choose_display(signed=method.signed, has_mask=False)
    link.write(**told)
    view = View(answer, read_maps(content), shown, class_names, method.signed, method.label, display)
    scale, words, downloads = st.columns([3, 5, 3], vertical_alignment="center")
    scale.html(scale_html(view))
    words.caption(f"**One scale for all maps and differences**: {view.limit_words()}. The changes are magnified on one "
                  "scale of their own. Below each difference: how alike the two maps are. A shifted image's map is "
                  "moved back before it is measured, not before it is drawn.")
    with downloads, st.container(horizontal=True):
        title = f"{method.label} under {answer.perturbation.key}, {len(shown)} runs"
        st.download_button("PNG", lambda: stability_figure(view, title).png(), "stability.png", "image/png",
                           icon=":material/image:", on_click="ignore", help="The whole figure")
        st.download_button("SVG", lambda: stability_figure(view, title).svg(), "stability.svg", "image/svg+xml",
                           icon=":material/polyline:", on_click="ignore", help="The whole figure, for a paper")
        st.download_button("NPZ", content, "stability.npz", "application/octet-stream", icon=":material/data_array:",
                           on_click="ignore", help="The raw arrays")
    st.html(html(view, link.value("zoom")))
    with st.expander("These numbers as a table"):
        st.dataframe([
            {"image": panel.index, "run": panel.run, "prediction": view.class_name(panel.predicted),
             "after": view.class_name(panel.perturbed.predicted), "log p": panel.log_density,
             "log p after": panel.perturbed.log_density, "change L2": panel.perturbed.delta_l2,
             **panel.perturbed.similarity}
            for panel in answer.panels if panel.perturbed
        ], hide_index=True)


def measures(shown: Sequence[RunColumn]) -> dict[int, list[Evaluation]]:
    """What was measured of each run."""
    with problems_shown(retrying=True):
        return {column.run: api().evaluations(column.run) for column in shown}
    return {}


def under_way(taken: Mapping[int, Sequence[Evaluation]]) -> list[Evaluation]:
    """Measures of stability that are queued or being taken."""
    return [item for items in taken.values() for item in items if item.key == STABILITY and not item.status.final]


def show_curves(
    shown: Sequence[RunColumn], attribution: Component, entry: CatalogEntry, perturbation: Component, *,
    refreshing: bool,
) -> None:
    """Each measure against the strength, over the first test images; refreshed while measures are being taken."""
    st.subheader("Over the test images")
    strength = entry.params[0].name
    cells = st.columns([2, 1.4, 3, 1.6], vertical_alignment="bottom")
    measure = cells[0].selectbox("Measure", list(MEASURES), format_func=MEASURES.get, key="lab_measure")
    images = cells[1].selectbox("Test images", IMAGES, key="lab_curve_images", help="The first in order.")
    with cells[2]:
        usual = entry.params[0].default
        strengths = number_list("Strengths", [usual, 2 * usual, 4 * usual], key=f"lab_strengths/{entry.key}",
                                kind=int if entry.params[0].type == "int" else float)
    if cells[3].button(f"Measure {len(shown)} runs", icon=":material/straighten:", width="stretch",
                       disabled=not strengths):
        with problems_shown():
            for column in shown:
                for at in strengths or []:
                    params = asked(attribution, perturbation, strength, at, images)
                    api().evaluate(column.run, EvaluationSpec(key=STABILITY, params=params))
    taken = measures(shown)
    waiting = under_way(taken)
    if bool(waiting) != refreshing:
        st.rerun(scope="app")  # to refresh from now on, or no longer
    if waiting:
        st.progress(sum(item.progress for item in waiting) / len(waiting),
                    text=f"{len(waiting)} measures are queued or being taken")
    found = {run: points(items, attribution, perturbation, strength) for run, items in taken.items()}
    if not any(found.values()):
        if not waiting:
            st.info("Nothing is measured yet of this method and this perturbation. Choose strengths above and "
                    "measure.", icon=":material/lightbulb:")
        return
    figure = curves(measure, MEASURES[measure], strength_words(entry), shown, found)
    clicked = live_chart(figure, key="stability", label=f"{MEASURES[measure]} against the strength of {entry.label}",
                         height=420, clickable=True)
    st.caption("Means with 95 % intervals (bootstrap by class); dotted and dashed: the controls. A click on a point "
               "opens its least stable images above.")
    with st.expander("These curves as a table"):
        st.dataframe(table(shown, found, measure), hide_index=True)
    if clicked:
        open_least_stable(*clicked, measure)


def open_least_stable(run: int, strength: float, evaluation: str, measure: str) -> None:
    """The images whose maps changed most, with the strength at which they did."""
    with problems_shown():
        worst = api().browse([run], worst=f"{evaluation}.{measure}", limit=st.session_state[link.key("count")])
        link.change(samples=joined([sample.index for sample in worst.items]), strength=strength, split="test")


st.title("Stability")
link.adopt(target="predicted")
show_values()
load_charts()
runs = choose_runs("what a perturbation does to the maps of each stands side by side")
run_columns, names = columns(runs), class_names(runs)
entry, perturbation = choose_perturbation()
method, params, target = choose_maps(runs, names)
samples = choose_images(runs, run_columns)
if samples is not None:
    request = AttributionRequest(runs=[column.run for column in run_columns], method=method.key, params=params,
                                 samples=samples, target=target, perturbation=perturbation)
    told = {"params": changed(method, params),
            "perturbation_params": changed(entry, rest_of(entry, perturbation.params))}
    link.write(**told)
    maps = drawn(request)
    if maps is not None:
        show(maps, method, run_columns, names, told)
measuring = bool(under_way(measures(run_columns)))
st.fragment(run_every=REFRESH_SECONDS if measuring else None)(show_curves)(
    run_columns, Component(key=method.key, params=params), entry, perturbation, refreshing=measuring)
