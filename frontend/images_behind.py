"""The test images behind a point of a chart: each with its label, prediction and values, and the way to its maps."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

import streamlit as st

from backend.shared.contracts import CatalogImages, DatasetSample, Evaluation, MeasuredSample, Run
from frontend.catalog import Catalog
from frontend.client import ApiError
from frontend.parts import api, problems_shown
from frontend.words import escaped, joined, number, readable

LINK = "images"  # of the page's link: evaluation|title of the plot|curve|x
SHOWN, MAPS_AT_ONCE = 24, 16
_STYLE = """
.dl-behind { display: flex; flex-wrap: wrap; gap: 10px; }
.dl-behind a { border: 1px solid rgba(128,128,128,.35); border-radius: 6px; padding: 6px 8px; color: inherit;
  text-decoration: none; font-size: .78rem; line-height: 1.35; font-variant-numeric: tabular-nums; width: 132px; }
.dl-behind a:hover, .dl-behind a:focus-visible { border-color: currentColor; }
.dl-behind img { image-rendering: pixelated; height: 84px; display: block; margin-bottom: 4px; }
.dl-behind .dl-missed { font-weight: 700; text-decoration: underline; }
"""


@dataclass(frozen=True)
class Asked:
    """Which images a link asks for."""

    evaluation: Evaluation
    images: CatalogImages
    name: str  # of the curve
    x: float

    @property
    def words(self) -> str:
        return self.images.words.format(x=f"{self.x:g}", name=readable(self.name))


def read_link(text: str, evaluations: Sequence[Evaluation], offered: Catalog) -> Asked | None:
    """None where the run has no such images."""
    parts = text.split("|")
    if len(parts) != 4:
        return None
    evaluation, title, name, x = parts
    item = next((item for item in evaluations if item.name == evaluation), None)
    entry = offered.entry("evaluation", item.key) if item else None
    plot = next((plot for plot in entry.plots if plot.title == title), None) if entry else None
    try:
        place = float(x)
    except ValueError:
        return None
    if item is None or plot is None or plot.images is None or name not in plot.names:
        return None
    return Asked(item, plot.images, name, place)


def show_images(run: Run, evaluations: Sequence[Evaluation], offered: Catalog, link: str) -> None:
    asked = read_link(link, evaluations, offered)
    if asked is None:
        st.error("This link asks for test images that this run does not have.", icon=":material/link_off:")
        return
    with st.container(border=True), problems_shown():
        order = "index" if asked.images.pick == "x" else asked.images.pick
        found = api().measured_samples(
            run.id, asked.evaluation.name, asked.images.array.format(name=asked.name), order=order,
            equals=asked.x if asked.images.pick == "x" else None, limit=SHOWN,
        )
        head, maps, close = st.columns([6, 2, 1], vertical_alignment="center")
        head.markdown(f"**Test images {escaped(asked.words)}** · {escaped(asked.evaluation.name)}, "
                      f"{min(found.total, SHOWN)} of {found.total}")
        indices = [item.index for item in found.items]
        close.button("Close", key="close-images", icon=":material/close:", on_click=_close)
        if not indices:
            st.caption("There is none.")
            return
        page, words = maps_of(asked, offered)
        words["runs"] = str(run.id)
        maps.page_link(f"app_pages/{page}.py", label="Maps of these", icon=":material/blur_on:",
                       query_params={**words, "samples": joined(indices[:MAPS_AT_ONCE])})
        dataset = run.spec.dataset
        images = {sample.index: sample for sample in api().samples(
            dataset.key, indices=indices, data_seed=dataset.params.get("data_seed")).items}
        predicted = _predictions(run, indices, found.items)
        entry = offered.entry("dataset", dataset.key)
        st.html(cards(found.items, images, predicted, entry.class_names if entry else [],
                      lambda index: f"{page}?{urlencode({**words, 'samples': index})}"))


def _close() -> None:
    st.query_params.pop(LINK, None)


def _predictions(run: Run, indices: Sequence[int], items: Sequence[MeasuredSample]) -> dict[int, int]:
    """The class predicted for each image: from the same measure, or else from the accuracy of the run."""
    if all("predicted" not in item.values for item in items):
        try:
            items = api().measured_samples(run.id, "accuracy", "predicted", limit=500).items
        except ApiError as error:
            if error.status not in (404, 409, 422):
                raise
    return {item.index: int(value) for item in items if item.index in indices
            and (value := item.values.get("predicted")) is not None}


def maps_of(asked: Asked, offered: Catalog) -> tuple[str, dict[str, str]]:
    """(page, words of its link) that shows the maps of such images: the Stability page, with what perturbs them, where
    the measure or the plot says that; else the Saliency page."""
    params = asked.evaluation.params
    entry = offered.entry("evaluation", asked.evaluation.key)
    own = next((params[param.name] for param in entry.params if param.kind == "perturbation" and param.name in params),
               None) if entry else None
    perturbation = offered.entry("perturbation", own["key"] if own else asked.images.perturbation)
    if perturbation is None:
        return "saliency", {}
    strength, *others = perturbation.params
    given = own.get("params", {}) if own else {**params, strength.name: asked.x}
    rest = {param.name: given[param.name] for param in others if given.get(param.name, param.default) != param.default}
    words = {"perturbation": perturbation.key, "strength": f"{given.get(strength.name, strength.default):g}"}
    return "stability", words | ({"perturbation_params": json.dumps(rest, separators=(",", ":"))} if rest else {})


def cards(
    items: Sequence[MeasuredSample], images: Mapping[int, DatasetSample], predicted: Mapping[int, int],
    class_names: Sequence[str], link: Callable[[int], str],
) -> str:
    """One card per image, linked by its index."""
    def named(label: int) -> str:
        return escape(class_names[label] if 0 <= label < len(class_names) else str(label))

    drawn = []
    for item in items:
        image = images.get(item.index)
        if image is None:
            continue
        lines = [f"image {item.index}, label {named(image.label)}"]
        if item.index in predicted:
            missed = predicted[item.index] != image.label
            lines.append(f'<span class="{"dl-missed" if missed else ""}">{"✗" if missed else "✓"} predicted '
                         f"{named(predicted[item.index])}</span>")
        lines += [f"{escape(readable(name))} {number(value)}" for name, value in item.values.items()
                  if name not in ("predicted", "correct", "group")]
        words = f"test image {item.index}, labelled {named(image.label)}: its maps"
        drawn.append(f'<a href="{escape(link(item.index))}" title="{words}">'
                     f'<img src="{escape(image.image)}" alt="{words}">'
                     + "".join(f"<div>{line}</div>" for line in lines) + "</a>")
    return f'<style>{_STYLE}</style><div class="dl-behind">{"".join(drawn)}</div>'
