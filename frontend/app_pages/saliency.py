"""The same images under several runs: what each looks at, on one colour scale."""

from collections.abc import Sequence

import streamlit as st

from backend.shared.contracts import Attribution, AttributionRequest, CatalogEntry
from frontend.figure import saliency_figure
from frontend.lab import link
from frontend.lab.display import choose_display, choose_layout
from frontend.lab.drawing import arrays, drawn
from frontend.lab.images import choose_images
from frontend.lab.methods import changed, choose_maps
from frontend.lab.probe import show_values
from frontend.lab.runs import choose_runs, class_names, columns
from frontend.maps import read_maps
from frontend.panels import CHANCE, RunColumn, View, html, leakage, prediction, scale_html


@st.fragment
def show(answer: Attribution, method: CatalogEntry, shown: Sequence[RunColumn], class_names: Sequence[str],
         told: dict) -> None:
    """The pictures with the controls of how they are drawn: moving one draws these alone anew."""
    content = arrays(answer.id)
    maps = read_maps(content)
    display = choose_display(signed=method.signed, has_mask=maps.masks is not None)
    only = choose_layout([column.label for column in shown], [column.run for column in shown])
    link.write(**told)
    view = View(answer, maps, shown, class_names, method.signed, method.label, display)
    scale, words, downloads = st.columns([3, 5, 3], vertical_alignment="center")
    scale.html(scale_html(view))
    words.caption(_words(view, method))
    with downloads, st.container(horizontal=True):
        title = f"{method.label}, {len(shown)} runs"
        st.download_button("PNG", lambda: saliency_figure(view, title).png(), "saliency.png", "image/png",
                           icon=":material/image:", on_click="ignore", help="The whole figure")
        st.download_button("SVG", lambda: saliency_figure(view, title).svg(), "saliency.svg", "image/svg+xml",
                           icon=":material/polyline:", on_click="ignore", help="The whole figure, for a paper")
        st.download_button("NPZ", content, "saliency.npz", "application/octet-stream", icon=":material/data_array:",
                           on_click="ignore", help="The raw arrays: images, masks, maps, predictions")
    st.html(html(view, link.value("zoom"), only=only, pinned=link.value("pin"), probe=True))
    with st.expander("These numbers as a table"):
        st.dataframe([
            {"image": panel.index, "run": panel.run, "label": view.class_name(panel.label),
             "prediction": prediction(view, panel, panel.label), "leakage": panel.leakage,
             "share": panel.leakage_share, "log p": panel.log_density, "summary": leakage(panel)}
            for panel in answer.panels
        ], hide_index=True)


def _words(view: View, method: CatalogEntry) -> str:
    kind = "magnitudes" if not view.diverging else \
        "one colour raises, the other lowers the class's score" if method.needs_target else "red raises, blue lowers it"
    if view.display.own_scale:
        scale = "**Each run has its own scale**: colours say nothing of their strengths beside each other"
    else:
        scale = f"**One scale for all maps: {'±' if view.diverging else '0 to '}{view.limit():.3g}**"
    leak = "" if view.maps.masks is None else (
        f" Leak: L2 norm of the map on the null part, and the share of the squared map that lies there (chance "
        f"{CHANCE:.0%}).")
    return f"{scale}, {view.limit_words()}; beyond it clipped; {kind}.{leak}"


st.title("Saliency")
link.adopt()
show_values()
runs = choose_runs("their maps of the same test images stand side by side, on one colour scale")
run_columns, names = columns(runs), class_names(runs)
chosen, params, target = choose_maps(runs, names)
samples = choose_images(runs, run_columns)
if samples is None:
    st.stop()
request = AttributionRequest(runs=[column.run for column in run_columns], method=chosen.key, params=params,
                             samples=samples, target=target)
words = {"params": changed(chosen, params)}
link.write(**words)
found = drawn(request)
if found is not None:
    show(found, chosen, run_columns, names, words)
