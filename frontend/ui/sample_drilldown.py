"""The images behind a point of a chart, with labels, predictions and values; test images with links to their maps."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

import streamlit as st
from markupsafe import Markup

from densitylab.backend.shared.contracts import CatalogImages, DatasetSample, Evaluation, Run, SampleValue
from densitylab.frontend.analysis.formatting import escaped, joined, number, readable
from densitylab.frontend.assets import read_asset, template
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.cached_arrays import cached_sample_arrays

LINK = "images"  # of the page's link: evaluation|title of the plot|curve|x
SHOWN, MAPS_AT_ONCE = 24, 16


@dataclass(frozen=True)
class ImageQuery:
    """The images that a link asks for."""

    evaluation: Evaluation
    images: CatalogImages
    name: str  # of the curve
    x: float

    @property
    def words(self) -> str:
        """The images in words."""
        return self.images.words.replace("{x}", f"{self.x:g}").replace("{name}", readable(self.name))


def read_link(text: str, evaluations: Sequence[Evaluation], catalog: Catalog) -> ImageQuery | None:
    """Return the images of the link; None where the run does not have them."""
    parts = text.split("|")
    if len(parts) != 4:
        return None
    evaluation, title, name, x = parts
    item = next((item for item in evaluations if item.name == evaluation), None)
    entry = catalog.entry("evaluation", item.key) if item else None
    plot = next((plot for plot in entry.plots if plot.title == title), None) if entry else None
    try:
        position = float(x)
    except ValueError:
        return None
    if item is None or plot is None or plot.images is None or name not in plot.names:
        return None
    return ImageQuery(item, plot.images, name, position)


def show_images(run: Run, evaluations: Sequence[Evaluation], catalog: Catalog, link: str) -> None:
    """Draw the images that the link asks for."""
    query = read_link(link, evaluations, catalog)
    if query is None:
        st.error("This link asks for images that this run does not have.", icon=":material/link_off:")
        return
    split = query.evaluation.split
    with st.container(border=True), show_api_errors():
        order = "index" if query.images.pick == "x" else query.images.pick
        samples = api().sample_values(
            run.id,
            query.evaluation.name,
            query.images.array.replace("{name}", query.name),
            order=order,
            equals=query.x if query.images.pick == "x" else None,
            limit=SHOWN,
        )
        head, maps, close = st.columns([6, 2, 1], vertical_alignment="center")
        head.markdown(
            f"**{split.capitalize()} images {escaped(query.words)}** · {escaped(query.evaluation.name)}, "
            f"{min(samples.total, SHOWN)} of {samples.total}"
        )
        indices = [item.index for item in samples.items]
        close.button("Close", key="close-images", icon=":material/close:", on_click=_close)
        if not indices:
            st.caption("No such images.")
            return
        page, words = maps_link(query, catalog)
        words |= {"runs": str(run.id)} | ({} if split == "test" else {"split": split})
        maps.page_link(
            f"app_pages/{page}.py",
            label="Maps of these images",
            icon=":material/blur_on:",
            query_params={**words, "samples": joined(indices[:MAPS_AT_ONCE])},
        )
        dataset = run.spec.dataset
        pictures = partial(
            api().samples,
            dataset.key,
            split=split,
            data_seed=dataset.params.get("data_seed"),
            image_size=dataset.params.get("image_size"),
        )
        stored = pictures(limit=1).total or 0  # of a large data set the API has pictures of the first images alone
        shown = [index for index in indices if index < stored]
        if hidden := [index for index in indices if index >= stored]:
            st.caption(f"Without a picture, since only the first {stored:,} images have one here: {joined(hidden)}.")
        images = {sample.index: sample for sample in (pictures(indices=shown).items if shown else [])}
        accuracy = next((item for item in evaluations if (item.key, item.split) == ("accuracy", split)), None)
        predicted = _predictions(run, accuracy, samples.items)
        entry = catalog.entry("dataset", dataset.key)
        st.html(
            cards(
                samples.items,
                images,
                predicted,
                entry.class_names if entry else [],
                lambda index: f"{page}?{urlencode({**words, 'samples': index})}",
            )
        )


def _close() -> None:
    st.query_params.pop(LINK, None)


def _predictions(run: Run, accuracy: Evaluation | None, items: Sequence[SampleValue]) -> dict[int, int]:
    """Return the predicted class of each image, from this evaluation or else from that of the accuracy on its split."""
    predicted = {item.index: value for item in items if (value := item.values.get("predicted")) is not None}
    if not predicted and accuracy is not None:
        arrays = cached_sample_arrays(run.id, accuracy)
        of_all = dict(zip(arrays["indices"].tolist(), arrays.get("predicted", arrays["indices"][:0]), strict=False))
        predicted = {item.index: of_all[item.index] for item in items if item.index in of_all}
    return {index: int(value) for index, value in predicted.items()}


def maps_link(query: ImageQuery, catalog: Catalog) -> tuple[str, dict[str, str]]:
    """Return the page that shows the maps of these images and its query parameters.

    It is the Stability page with the perturbation of the evaluation or plot, if there is one, else the Saliency page.
    """
    params = query.evaluation.params
    entry = catalog.entry("evaluation", query.evaluation.key)
    own = (
        next(
            (params[param.name] for param in entry.params if param.kind == "perturbation" and param.name in params),
            None,
        )
        if entry
        else None
    )
    perturbation = catalog.entry("perturbation", own["key"] if own else query.images.perturbation)
    if perturbation is None:
        return "saliency", {}
    strength, *others = perturbation.params
    given = own.get("params", {}) if own else {**params, strength.name: query.x}
    rest = {param.name: given[param.name] for param in others if given.get(param.name, param.default) != param.default}
    words = {"perturbation": perturbation.key, "strength": f"{given.get(strength.name, strength.default):g}"}
    return "stability", words | ({"perturbation_params": json.dumps(rest, separators=(",", ":"))} if rest else {})


def cards(
    items: Sequence[SampleValue],
    images: Mapping[int, DatasetSample],
    predicted: Mapping[int, int],
    class_names: Sequence[str],
    link: Callable[[int], str],
) -> str:
    """Return the HTML of one card per image, each linked by the image's index."""

    def class_name(label: int) -> str:
        return class_names[label] if 0 <= label < len(class_names) else str(label)

    drawn = []
    for item in items:
        image = images.get(item.index)
        if image is None:
            continue
        prediction = predicted.get(item.index)
        drawn.append(
            {
                "index": item.index,
                "image": image.image,
                "link": link(item.index),
                "label": class_name(image.label),
                "prediction": None if prediction is None else class_name(prediction),
                "correct": prediction == image.label,
                "values": [
                    f"{readable(name)} {number(value)}"
                    for name, value in item.values.items()
                    if name not in ("predicted", "correct", "group", "label")
                ],
            }
        )
    style = Markup(read_asset("ui/sample_cards.css"))
    return template("ui/sample_cards.html.jinja").render(style=style, cards=drawn)
