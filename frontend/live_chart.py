"""A Plotly chart that is updated in place: zoom and hidden traces survive every refresh.

Streamlit mounts its own Plotly chart anew whenever the data changes. This component keeps one and calls
`Plotly.react` on it, with the plotly.js that comes with the Python package and that `frontend.page_server` serves.
"""

import functools
from typing import Any

import plotly
import plotly.graph_objects as go
import streamlit as st
from plotly.io import to_json

LIBRARY = f"plotly-{plotly.__version__}.min.js"  # relative to the page's address; `frontend.page_server` answers

# From an address that the browser keeps, also in compiled form: a string of 4.6 MB would come with every opened page
_LIBRARY_JS = """
export default function() {
  if (document.querySelector("script[data-densitylab-plotly]")) return;
  const script = document.createElement("script");
  script.dataset.densitylabPlotly = "";
  script.src = "__LIBRARY__";
  script.onload = () => { window.densitylabPlotly = window.Plotly || window.moduleName; };
  document.head.append(script);
}
"""

_CHART_JS = """
export default function(component) {
  const { data, parentElement, setTriggerValue } = component;
  const box = parentElement.querySelector(".densitylab-chart");
  if (!box) return;
  box.pending = data;
  box.trigger = setTriggerValue;
  box.setAttribute("aria-label", data.label);
  // Drawn only while it is near the window: a page of ten charts shows its first ones ten times as soon
  if (!box.watched) {
    box.watched = new IntersectionObserver((entries) => {
      box.near = entries.at(-1).isIntersecting;
      box.draw();
    }, { root: box.closest("[data-testid=stMain]"), rootMargin: "300px" });
    box.watched.observe(box);
  }
  box.draw = () => {
    if (!box.near || box.drawn === box.pending || box.waiting) return;
    const Plotly = window.densitylabPlotly;
    if (!Plotly) {
      box.waiting = setTimeout(() => { box.waiting = null; box.draw(); }, 50);
      return;
    }
    box.drawn = box.pending;
    const figure = JSON.parse(box.pending.figure);
    const style = getComputedStyle(box);
    const text = style.getPropertyValue("--st-text-color").trim() || "#31333F";
    const line = style.getPropertyValue("--st-border-color").trim() || "rgba(128,128,128,0.25)";
    const grid = "rgba(128,128,128,0.18)";
    const back = style.getPropertyValue("--st-background-color").trim() || "#ffffff";
    const layout = figure.layout;
    layout.height = box.pending.height;
    layout.modebar = { orientation: "v", bgcolor: "rgba(0,0,0,0)", color: line, activecolor: text };
    layout.font = { ...layout.font, color: text, family: style.getPropertyValue("--st-font").trim() || "sans-serif" };
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: back, bordercolor: line, font: { color: text } };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis[0-9]*$/.test(name)) {
        layout[name] = { ...layout[name], gridcolor: grid, linecolor: line, zerolinecolor: grid };
      }
    }
    const file = { filename: box.pending.name, scale: 2 };
    const svg = {
      name: "Download plot as SVG", icon: Plotly.Icons.disk, click: (chart) => Plotly.downloadImage(
        chart, { format: "svg", filename: box.pending.name, width: chart.offsetWidth, height: chart.offsetHeight }),
    };
    // One and the same: Plotly takes a new function for a new configuration, and then forgets zoom and hidden traces
    const config = box.config ||= {
      responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"],
      modeBarButtonsToAdd: [svg], toImageButtonOptions: { format: "png", ...file },
    };
    Plotly.react(box, figure.data, layout, config).then(() => {
      box.dataset.points = figure.data.reduce((sum, trace) => sum + ((trace.x && trace.x.length) || 0), 0);
      if (box.listening) return;
      box.listening = true;
      box.on("plotly_click", (event) => {
        const chosen = event.points[0].customdata;
        if (chosen !== undefined && box.pending.clickable) box.trigger("clicked", chosen);
      });
      // What is shown in one linked chart is shown in the others too: the point or curve of the same label
      const others = () => [...document.querySelectorAll(".densitylab-chart")].filter(
        (other) => other !== box && box.pending.linked && other.pending.linked && other._fullLayout);
      box.on("plotly_hover", (event) => {
        const found = event.points[0], label = found.text || found.data.name;
        for (const other of others()) {
          for (const [curveNumber, trace] of (other.data || []).entries()) {
            const texts = Array.isArray(trace.text) ? trace.text : [];
            const place = trace.name === label && trace.x ? trace.x.length - 1 : texts.indexOf(label);
            if (place < 0) continue;
            Plotly.Fx.hover(other, [{ curveNumber, pointNumber: place }], "xy", true);
            break;
          }
        }
      });
      box.on("plotly_unhover", () => others().forEach((other) => Plotly.Fx.unhover(other, undefined, "xy", true)));
    });
  };
  box.draw();
}
"""


@functools.cache
def _library() -> Any:
    return st.components.v2.component("densitylab_plotly", js=_LIBRARY_JS.replace("__LIBRARY__", LIBRARY))


@functools.cache
def _chart() -> Any:
    return st.components.v2.component(
        "densitylab_chart",
        html='<div class="densitylab-chart" role="group" style="width:100%;height:100%"></div>',
        css=".densitylab-chart { min-height: 100%; }",
        js=_CHART_JS,
        isolate_styles=False,
    )


def load_charts() -> None:
    """Brings plotly.js into the browser; call once on a page, outside its live part."""
    _library()(key="densitylab_plotly", height=1)


def live_chart(
    figure: go.Figure | dict[str, Any] | str, *, key: str, label: str, height: int = 300, clickable: bool = False,
    linked: bool = False,
) -> Any | None:
    """Draws or updates the chart.

    Args:
        figure: what to draw, as Plotly's figure, a dictionary or JSON; its `uirevision` decides what survives a
            refresh.
        key: the chart's identity on the page.
        label: what it shows, in words, for those who do not see it.
        height: pixels.
        clickable: whether a click on a point reruns the page.
        linked: whether other linked charts show what is under the pointer in this one.

    Returns:
        The `customdata` of the point just clicked, else None.
    """
    drawn = figure if isinstance(figure, str) else to_json(figure, validate=False)
    data = {"figure": drawn, "label": label, "height": height, "clickable": clickable, "linked": linked,
            "name": f"densitylab-{key}"}
    result = _chart()(key=key, data=data, height=height, on_clicked_change=_ignore)
    return result.clicked if clickable else None


def _ignore() -> None:
    """The click is read from the component's answer."""
