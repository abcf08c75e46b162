"""The same test images under several runs: what each looks at, on one colour scale."""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from backend.shared.contracts import Attribution, AttributionRequest, CatalogEntry, Run, Samples, Status
from frontend.client import ApiError
from frontend.comparison import Comparison, compare
from frontend.maps import read_maps
from frontend.panels import CHANCE, RunColumn, View, figure_png, html, leakage, prediction, scale_html
from frontend.parts import api, catalog, problems_shown, show_problem
from frontend.widgets import FieldErrors, parameters, parse_numbers
from frontend.words import escaped, joined, run_name

MAX_RUNS, MAX_IMAGES, FIRST_IMAGES, MAX_ZOOM = 6, 16, 8, 8
POLL_SECONDS = 0.25
ALL, DISAGREE = "all", "disagree"
CONTRASTS = (1, 3, 10)
# Keys of the widgets, whose values are the view; the link holds the same under these names without "map_"
RUNS, METHOD, TARGET, IMAGES, CLASS, WRONG, COUNT, ZOOM, CONTRAST = (
    "map_runs", "map_method", "map_target", "map_images", "map_class", "map_wrong", "map_count", "map_zoom",
    "map_contrast",
)
LINK, PARAMS, VERSION, CANDIDATES, KEEP = "map_link", "map_params", "map_version", "map_candidates", "map_keep"


# ---- the link: read where it is new, written after each change ------------------------------------------------------


def adopt_link() -> None:
    """Where the link is not the one that this view wrote, the view becomes what the link says."""
    query, state = st.query_params.to_dict(), st.session_state
    if state.get(LINK) == query and RUNS in state:
        # Said again: the browser may not have drawn a widget yet when the maps that it waits for redraw the page
        for key in (RUNS, METHOD, TARGET, IMAGES, CLASS, WRONG, COUNT, ZOOM, CONTRAST):
            state[key] = state[key]
        return
    state[LINK] = query
    state[VERSION] = state.get(VERSION, 0) + 1
    state[RUNS] = whole_numbers("runs")
    state[METHOD] = query.get("method")
    state[TARGET] = query.get("target", "label")
    state[CLASS] = query.get("class", ALL)
    state[WRONG] = query.get("wrong", ALL)
    state[ZOOM] = min(max(next(iter(whole_numbers("zoom")), 3), 1), MAX_ZOOM)
    contrast = next(iter(whole_numbers("contrast")), 1)
    state[CONTRAST] = contrast if contrast in CONTRASTS else 1
    images = whole_numbers("samples")
    if len(images) > MAX_IMAGES:
        st.warning(f"A view shows at most {MAX_IMAGES} images; this link asks for {len(images)}. The first "
                   f"{MAX_IMAGES} are shown.", icon=":material/warning:")
    state[IMAGES] = joined(images[:MAX_IMAGES])
    state[COUNT] = len(images[:MAX_IMAGES]) or FIRST_IMAGES
    state[PARAMS] = read_params(query.get("params", "{}"))


def whole_numbers(name: str) -> list[int]:
    """A list of the link; what is wrong in it is said and left out."""
    parts = [part for part in st.query_params.get(name, "").split(",") if part]
    good = [int(part) for part in parts if part.isdecimal() and len(part) < 10]
    if len(good) < len(parts):
        st.error(f"This link says {name} = {escaped(st.query_params[name][:100])}, which is not a list of whole "
                 "numbers.", icon=":material/link_off:")
    return list(dict.fromkeys(good))


def read_params(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        st.error("This link's settings of the method cannot be read; its defaults are used.",
                 icon=":material/link_off:")
        return {}
    return found


def write_link(request: AttributionRequest, entry: CatalogEntry) -> None:
    defaults = {param.name: param.default for param in entry.params}
    changed = {name: value for name, value in request.params.items() if value != defaults.get(name)}
    query = {"runs": joined(request.runs), "samples": joined(request.samples.indices), "method": request.method,
             "target": str(request.target), "zoom": str(st.session_state[ZOOM])}
    for name, value, usual in (("class", st.session_state[CLASS], ALL), ("wrong", st.session_state[WRONG], ALL),
                               ("contrast", st.session_state[CONTRAST], 1)):
        if value != usual:
            query[name] = str(value)
    if changed:
        query["params"] = json.dumps(changed, separators=(",", ":"))
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)
    st.session_state[LINK] = query


# ---- runs -------------------------------------------------------------------------------------------------------


def choose_runs() -> list[Run]:
    """The chosen runs; those of the link that are gone are named."""
    offered = {run.id: run for run in api().runs(status=Status.SUCCEEDED, limit=200).items}
    gone = []
    for run_id in st.session_state[RUNS]:
        if run_id not in offered:
            try:
                offered[run_id] = api().run(run_id)
            except ApiError as error:
                if error.status not in (404, 422):
                    raise
                gone.append(run_id)
    if gone:
        st.error(f"No longer there: run {joined(gone)}. They may have been deleted; the others are shown.",
                 icon=":material/link_off:")
        st.session_state[RUNS] = [run_id for run_id in st.session_state[RUNS] if run_id not in gone]
    if not offered:
        st.info("No trained run yet: maps need one. The demo on the home page trains nine in a few minutes.",
                icon=":material/lightbulb:")
        st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
        st.stop()
    if len(st.session_state[RUNS]) > MAX_RUNS:
        st.warning(f"A view shows at most {MAX_RUNS} runs; the first {MAX_RUNS} of this link are shown.",
                   icon=":material/warning:")
        st.session_state[RUNS] = st.session_state[RUNS][:MAX_RUNS]
    chosen = st.multiselect(
        f"Runs, 1 to {MAX_RUNS}", list(offered), key=RUNS, max_selections=MAX_RUNS,
        format_func=lambda run_id: run_name(offered[run_id], catalog()), placeholder="choose trained runs",
    )
    return [offered[run_id] for run_id in chosen]


def names(found: Comparison) -> list[RunColumn]:
    """The runs from the baseline on, each with what tells it from the others."""
    runs = [run for group in found.groups for run in group.runs]
    one_seed = len({run.spec.seed for run in runs}) == 1
    return [
        RunColumn(run.id, found.label_of(run).rpartition(", seed")[0] if one_seed else found.label_of(run),
                  found.run_colors[run.id]) for run in runs
    ]


# ---- images -----------------------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False, max_entries=100)
def images_of_class(key: str, data_seed: int | None, label: int) -> list[int]:
    found: list[int] = []
    cursor = None
    while True:
        page = api().samples(key, label=label, limit=200, cursor=cursor, data_seed=data_seed)
        found += [sample.index for sample in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


@st.cache_data(show_spinner=False, max_entries=100)
def predictions(run_id: int, checkpoint_step: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(predicted class, whether it is right) of every test image, as the accuracy evaluation left them."""
    with np.load(io.BytesIO(api().artifact(run_id, "accuracy.npz")), allow_pickle=False) as file:
        return file["predicted"], file["correct"]


def candidates(runs: Sequence[Run], size: int) -> list[int]:
    """Indices of the test images that pass the filters."""
    chosen = np.ones(size, dtype=bool)
    wrong, label = st.session_state[WRONG], st.session_state[CLASS]
    dataset = runs[0].spec.dataset
    if label != ALL:
        of_class = np.zeros(size, dtype=bool)
        indices = images_of_class(dataset.key, dataset.params.get("data_seed"), int(label))
        of_class[[index for index in indices if index < size]] = True
        chosen &= of_class
    if wrong == DISAGREE:
        predicted = np.stack([predictions(run.id, run.checkpoint_step)[0] for run in runs])
        chosen &= (predicted != predicted[0]).any(axis=0)
    elif wrong != ALL:
        run = next(run for run in runs if str(run.id) == wrong)
        chosen &= ~predictions(run.id, run.checkpoint_step)[1]
    return [int(index) for index in np.flatnonzero(chosen)]


def start_again() -> None:
    """Other filters: from the first image that passes them."""
    st.session_state[IMAGES] = ""


def resize() -> None:
    """Another number of images: the first stays."""
    shown = shown_images()
    st.session_state[KEEP] = shown[0] if shown else 0
    st.session_state[IMAGES] = ""


def step(direction: int) -> None:
    """To the next images that pass the filters, or back."""
    shown, count = shown_images(), st.session_state[COUNT]
    passing = st.session_state.get(CANDIDATES, [])
    if direction > 0:
        after = [index for index in passing if not shown or index > shown[-1]]
        following = after[:count] or passing[:count]
    else:
        before = [index for index in passing if not shown or index < shown[0]]
        following = before[-count:] or passing[-count:]
    st.session_state[IMAGES] = joined(following)


def shown_images() -> list[int]:
    try:
        return [int(number) for number in parse_numbers(st.session_state[IMAGES], int)]
    except ValueError:
        return []


def choose_images(runs: Sequence[Run], found: Sequence[RunColumn]) -> list[int] | None:
    """The images to show; None where there is nothing to show, which has been said."""
    dataset = api().dataset(runs[0].spec.dataset.key)
    size = dataset.sizes.get("test", 0)
    labels = {str(column.run): column.label for column in found}
    whose = {ALL: "all", **{run: f"wrong under {label}" for run, label in labels.items()}}
    if len(runs) > 1:
        whose[DISAGREE] = "on which the runs disagree"
    if st.session_state[WRONG] not in whose:
        st.session_state[WRONG] = ALL
    classes = {ALL: "all", **{str(place): name for place, name in enumerate(dataset.class_names)}}
    if st.session_state[CLASS] not in classes:
        st.error(f"This link asks for images of class {escaped(st.session_state[CLASS][:50])}; there are "
                 f"{dataset.num_classes}, counted from 0.", icon=":material/link_off:")
        st.session_state[CLASS] = ALL
    cells = st.columns([2, 3, 2, 4, 1.3, 1.3], vertical_alignment="bottom")
    cells[0].selectbox("Class", list(classes), key=CLASS, on_change=start_again, format_func=classes.get)
    cells[1].selectbox("Only images", list(whose), key=WRONG, on_change=start_again, format_func=whose.get)
    cells[2].number_input("At a time", 1, MAX_IMAGES, key=COUNT, on_change=resize)
    try:
        passing = candidates(runs, size)
    except ApiError as error:
        st.warning(f"These images cannot be filtered: {escaped(str(error))}", icon=":material/filter_alt_off:")
        passing = list(range(size))
    st.session_state[CANDIDATES] = passing
    if not st.session_state[IMAGES]:
        first = st.session_state.pop(KEEP, 0)
        following = [index for index in passing if index >= first] or passing
        st.session_state[IMAGES] = joined(following[:st.session_state[COUNT]])
    cells[3].text_input(f"Test images ({len(passing)} of {size} pass)", key=IMAGES,
                        help="Their numbers, separated by commas. The arrow keys go through those that pass.")
    cells[4].button("Back", key="map_back", on_click=step, args=(-1,), shortcut="Left", width="stretch")
    cells[5].button("Next", key="map_on", on_click=step, args=(1,), shortcut="Right", width="stretch")
    if not passing and not st.session_state[IMAGES]:
        st.info("No test image passes these filters.", icon=":material/filter_alt:")
        return None
    try:
        wanted = [int(number) for number in parse_numbers(st.session_state[IMAGES], int)]
    except ValueError as error:
        st.error(f"Test images: {escaped(str(error))}.", icon=":material/error:")
        return None
    if len(wanted) > MAX_IMAGES or min(wanted) < 0:
        st.error(f"Choose 1 to {MAX_IMAGES} images by numbers from 0 to {size - 1}; these are {len(wanted)}.",
                 icon=":material/error:")
        return None
    return wanted


# ---- method -----------------------------------------------------------------------------------------------------


def choose_method(runs: Sequence[Run]) -> tuple[CatalogEntry, dict[str, Any], str | int]:
    """(method, its parameters, target class)."""
    offered = {entry.key: entry for entry in catalog().entries("attribution")}
    if st.session_state[METHOD] not in offered:
        if st.session_state[METHOD] is not None:
            st.error(f"This link asks for the method {escaped(st.session_state[METHOD][:50])}, which is not on "
                     "offer.", icon=":material/link_off:")
        st.session_state[METHOD] = next(iter(offered))
    dataset = catalog().entry("dataset", runs[0].spec.dataset.key)
    classes = dataset.class_names if dataset else []
    targets = ["label", "predicted", *(str(place) for place in range(len(classes)))]
    if st.session_state[TARGET] not in targets:
        st.error(f"This link asks for class {escaped(st.session_state[TARGET][:50])}; there are {len(classes)}, "
                 "counted from 0.", icon=":material/link_off:")
        st.session_state[TARGET] = "label"
    method_cell, target_cell, contrast_cell, zoom_cell = st.columns([3, 3, 1, 2])
    key = method_cell.selectbox("Method", list(offered), key=METHOD, format_func=lambda item: offered[item].label)
    entry = offered[key]
    target = target_cell.selectbox(
        "Of which class", targets, key=TARGET, disabled=not entry.needs_target,
        format_func=lambda item: {"label": "the true label", "predicted": "the predicted class"}.get(item)
        or f"class {classes[int(item)]}",
        help=None if entry.needs_target else "This method is of no class.",
    )
    contrast_cell.selectbox(
        "Contrast", CONTRASTS, key=CONTRAST, format_func=lambda item: f"× {item}",
        help="Narrows the one scale of all maps, so that faint maps show; strong ones are clipped.",
    )
    zoom_cell.slider("Size", 1, MAX_ZOOM, key=ZOOM, help="Screen pixels per image pixel")
    st.caption(escaped(entry.summary))
    params = parameters(catalog(), entry, st.session_state[PARAMS], key=f"map_params_{st.session_state[VERSION]}/{key}",
                        at="/params", errors=FieldErrors())
    return entry, params, int(target) if target.isdecimal() else target


# ---- the maps ---------------------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False, max_entries=20)
def arrays(attribution: int) -> bytes:
    return api().attribution_arrays(attribution)


@st.fragment(run_every=POLL_SECONDS)
def wait_for(attribution: int) -> None:
    """Until the maps are there; then the page is drawn with them."""
    with problems_shown(retrying=True):
        answer = api().attribution(attribution)
        if answer.status is Status.SUCCEEDED:
            st.rerun()
        if answer.status.final:
            st.error(f"The maps {answer.status.value}: {escaped(answer.error or 'no reason given')}",
                     icon=":material/error:")
            return
        task = api().task(answer.task)
        st.progress(task.progress, text=f"Drawing the maps: {task.stage or 'waiting for the interactive worker'}")


def show(answer: Attribution, entry: CatalogEntry, columns: Sequence[RunColumn], class_names: Sequence[str]) -> None:
    content = arrays(answer.id)
    contrast = st.session_state[CONTRAST]
    view = View(answer, read_maps(content), columns, class_names, entry.signed, entry.label, contrast)
    scale, words, downloads = st.columns([3, 5, 3], vertical_alignment="center")
    scale.html(scale_html(view))
    kind = "red raises, blue lowers the class's score" if view.signed and entry.needs_target else \
        "red raises, blue lowers it" if view.signed else "magnitudes"
    words.caption(
        f"**One scale for all maps: {'±' if view.signed else '0 to '}{view.limit:.3g}**, {view.limit_words()}; "
        f"beyond it clipped; {kind}. Leak: L2 norm of the map on the null part, and the share of the squared map "
        f"that lies there (chance {CHANCE:.0%})."
    )
    with downloads, st.container(horizontal=True):
        st.download_button("PNG", lambda: figure_png(view, f"{entry.label}, {len(columns)} runs"), "saliency.png",
                           "image/png", icon=":material/image:", on_click="ignore", help="The whole figure")
        st.download_button("NPZ", content, "saliency.npz", "application/octet-stream", icon=":material/data_array:",
                           on_click="ignore", help="The raw arrays: images, masks, maps, predictions")
    st.html(html(view, st.session_state[ZOOM]))
    with st.expander("These numbers as a table"):
        st.dataframe([
            {"image": panel.index, "run": panel.run, "label": view.class_name(panel.label),
             "prediction": prediction(view, panel), "leakage": panel.leakage, "share": panel.leakage_share,
             "summary": leakage(panel)}
            for panel in answer.panels
        ], hide_index=True)


st.title("Saliency")
adopt_link()
chosen_runs = choose_runs()
if not chosen_runs:
    st.info("Choose runs above, for example one for each λ of an experiment: their maps of the same test images "
            "stand side by side, on one colour scale.", icon=":material/lightbulb:")
    st.page_link("app_pages/compare.py", label="Or start from an experiment", icon=":material/scatter_plot:")
    st.stop()
columns = names(compare(chosen_runs, catalog()))
method, method_params, target_class = choose_method(chosen_runs)
indices = choose_images(chosen_runs, columns)
if indices is None:
    st.stop()
asked = AttributionRequest(
    runs=[column.run for column in columns], method=method.key, params=method_params,
    samples=Samples(split="test", indices=indices), target=target_class,
)
write_link(asked, method)
try:
    maps = api().attribute(asked)
except ApiError as error:
    show_problem(error)
    st.stop()
if maps.status is Status.SUCCEEDED:
    data = catalog().entry("dataset", chosen_runs[0].spec.dataset.key)
    show(maps, method, columns, data.class_names if data else [])
else:
    wait_for(maps.id)
