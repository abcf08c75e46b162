"""Which images: browsed by what the runs say of them, by number, pinned, starred, or one's own."""

from collections.abc import Sequence

import streamlit as st

from backend.shared.contracts import Dataset, Run, Samples, SamplesFound
from frontend.client import ApiError
from frontend.lab.link import ALL, BY_INDEX, MAX_IMAGES, key, put, value
from frontend.panels import RunColumn
from frontend.parts import api, show_problem
from frontend.widgets import parse_numbers
from frontend.words import escaped, joined, readable

_PASSING, _KEEP = "lab_passing", "lab_keep"
_WRONG = "wrong_"  # and a run's id: the images that this run classifies wrongly


@st.cache_data(show_spinner=False, max_entries=100, ttl=60)
def _browse(runs: tuple[int, ...], label: int | None, group: int | None, only: str, worst: str | None) -> SamplesFound:
    """All the pages in one."""
    found = api().browse(runs, label=label, group=group, only=only, worst=worst)
    cursor = found.next_cursor
    while cursor is not None:
        page = api().browse(runs, label=label, group=group, only=only, worst=worst, cursor=cursor)
        found.items += page.items
        cursor = page.next_cursor
    return found


def choose_images(runs: Sequence[Run], columns: Sequence[RunColumn], *, one: bool = False) -> Samples | None:
    """The images to show; None where there is nothing to show, which has been said.

    Args:
        runs: the chosen ones, of one data set.
        columns: what tells them apart.
        one: whether the page shows one image only: then nothing is pinned or starred.
    """
    dataset = api().dataset(runs[0].spec.dataset.key)
    _bring(dataset)
    if value("split") == "upload":
        return _brought()
    found = _filtered(dataset, columns)
    if found is None:
        return None
    st.session_state[_PASSING] = passing = [sample.index for sample in found.items]
    if one:
        put("count", 1)
        put("samples", joined(shown_images()[:1]) or value("samples"))
    if not value("samples"):
        put("samples", joined(_from(passing, st.session_state.pop(_KEEP, None))[:st.session_state[key("count")]]))
    size = dataset.sizes.get("test", 0)
    _choose_numbers(found.total, size, one=one)
    if not passing and not value("samples"):
        st.info("No test image passes these filters.", icon=":material/filter_alt:")
        return None
    try:
        wanted = [int(number) for number in parse_numbers(value("samples"), int)]
    except ValueError as error:
        st.error(f"Test images: {escaped(str(error))}.", icon=":material/error:")
        return None
    if value("pin") is not None and not one:
        wanted = [value("pin"), *(index for index in wanted if index != value("pin"))][:MAX_IMAGES]
    if len(wanted) > MAX_IMAGES or min(wanted) < 0:
        st.error(f"Choose 1 to {MAX_IMAGES} images by numbers from 0 to {size - 1}; these are {len(wanted)}.",
                 icon=":material/error:")
        return None
    return Samples(split="test", indices=wanted)


def _choose_numbers(passing: int, size: int, *, one: bool) -> None:
    """The numbers of the images, the way through them, and those that stay."""
    cells = st.columns([4, 1.2, 1.2] if one else [4, 1.6, 1.2, 1.2, 2], vertical_alignment="bottom")
    cells[0].text_input(f"Test image{'' if one else 's'} ({passing} of {size} pass)", key=key("samples"),
                        help="Its number. The arrow keys go through those that pass." if one else
                        "Their numbers, separated by commas. The arrow keys go through those that pass.")
    back, on = cells[-2:] if one else cells[2:4]
    back.button("Back", key="lab_back", on_click=_step, args=(-1,), shortcut="Left", width="stretch")
    on.button("Next", key="lab_on", on_click=_step, args=(1,), shortcut="Right", width="stretch")
    if not one:
        cells[1].number_input("At a time", 1, MAX_IMAGES, key=key("count"), on_change=_resize)
        cells[4].number_input("Pinned image", 0, max(size - 1, 0), key=key("pin"), placeholder="none",
                              help="Stays in front, for reference, whatever else is shown.")
        _stars()


# ---- filters ----------------------------------------------------------------------------------------------------


def _filtered(dataset: Dataset, columns: Sequence[RunColumn]) -> SamplesFound | None:
    """The images that pass the filters, drawn here; None where the runs cannot be shown together, which is said."""
    runs = tuple(column.run for column in columns)
    whose = {ALL: "all", "wrong_any": "wrong under a run"}
    if len(runs) > 1:
        whose |= {"wrong_all": "wrong under every run", "disagree": "on which the runs disagree",
                  **{f"{_WRONG}{column.run}": f"wrong under {column.label}" for column in columns}}
    classes = {ALL: "all", **{str(place): name for place, name in enumerate(dataset.class_names)}}
    try:
        orders = _browse(runs, None, None, ALL, None).orders
    except ApiError as error:
        show_problem(error)
        return None
    by = {BY_INDEX: "their number", **{order: _worst_words(order) for order in orders}}
    groups = {ALL: "all", **{str(place): name for place, name in enumerate(dataset.group_names)}}
    for name, choices in (("class", classes), ("group", groups), ("only", whose), ("worst", by)):
        if value(name) not in choices:
            st.error(f"This link asks for {name} = {escaped(str(value(name))[:50])}, which is not one of "
                     f"{escaped(', '.join(map(str, choices)))}.", icon=":material/link_off:")
            put(name, next(iter(choices)))
    cells = st.columns(4 if dataset.has_groups else 3)
    cells[0].selectbox("Class", list(classes), key=key("class"), on_change=_start_again, format_func=classes.get)
    cells[1].selectbox("Only images", list(whose), key=key("only"), on_change=_start_again, format_func=whose.get)
    cells[2].selectbox("In the order of", list(by), key=key("worst"), on_change=_start_again, format_func=by.get)
    if dataset.has_groups:
        cells[3].selectbox("Group", list(groups), key=key("group"), on_change=_start_again, format_func=groups.get)
    only, of = value("only"), runs
    if only.startswith(_WRONG) and only.removeprefix(_WRONG).isdecimal():
        only, of = "wrong_any", (int(only.removeprefix(_WRONG)),)
    label, group = (None if value(name) == ALL else int(value(name)) for name in ("class", "group"))
    try:
        return _browse(of, label, group, only, None if value("worst") == BY_INDEX else value("worst"))
    except ApiError as error:
        st.warning(f"These images cannot be filtered: {escaped(str(error))}", icon=":material/filter_alt_off:")
        return _browse(runs, None, None, ALL, None)


def _worst_words(order: str) -> str:
    evaluation, _, name = order.partition(".")
    return f"the worst {readable(evaluation)}" + ("" if name == evaluation else f": {readable(name)}")


def _from(passing: list[int], first: int | None) -> list[int]:
    """Those from the image `first` on, or all."""
    return passing[passing.index(first):] if first in passing else passing


def _start_again() -> None:
    """Other filters: from the first image that passes them."""
    put("samples", "")


def _resize() -> None:
    """Another number of images: the first stays."""
    shown = shown_images()
    st.session_state[_KEEP] = shown[0] if shown else None
    put("samples", "")


def _step(direction: int) -> None:
    """To the next images that pass the filters, or back; from the end to the beginning."""
    shown, count = shown_images(), st.session_state[key("count")]
    passing = st.session_state.get(_PASSING, [])
    places = [passing.index(index) for index in shown if index in passing]
    if direction > 0:
        start = max(places) + 1 if places else 0
        following = passing[start:start + count] or passing[:count]
    else:
        end = min(places) if places else len(passing)
        following = passing[max(end - count, 0):end] or passing[-count:]
    put("samples", joined(following))


def shown_images() -> list[int]:
    try:
        return [int(number) for number in parse_numbers(value("samples"), int)]
    except ValueError:
        return []


# ---- starred ----------------------------------------------------------------------------------------------------


def _stars() -> None:
    """A named set of images that the link carries."""
    offered = list(dict.fromkeys([*value("starred"), *shown_images()]))
    stars, name, show = st.columns([5, 2.5, 1.5], vertical_alignment="bottom")
    stars.multiselect("Starred images", offered, key=key("starred"), placeholder="keep some of those shown",
                      help="A set of your own; it travels with the link of this page.")
    name.text_input("Name of the set", key=key("set"), max_chars=100, placeholder="such as: wrong for a reason")
    show.button("Show the set", key="lab_show_stars", on_click=_show_stars, disabled=not value("starred"),
                icon=":material/star:", width="stretch")


def _show_stars() -> None:
    starred = value("starred")[:MAX_IMAGES]
    put("samples", joined(starred))
    put("count", len(starred))


# ---- one's own image --------------------------------------------------------------------------------------------


def _bring(dataset: Dataset) -> None:
    height, width = dataset.image_size
    with st.popover("One's own image", icon=":material/upload:"):
        st.caption(f"PNG, JPEG or WebP, at most 8 MB and 16 million pixels. It is turned as the camera noted, cut "
                   f"around its centre to {height} × {width} pixels (height × width) as {escaped(dataset.label)} has "
                   f"them{', and made grey' if dataset.channels == 1 else ''}. Its pixels alone are kept.")
        st.file_uploader("An image", ["png", "jpg", "jpeg", "webp"], key=key("file"), on_change=_take_file,
                         args=(dataset.key,), max_upload_size=8)
    refused = st.session_state.pop(key("refused"), None)
    if refused:
        st.error(escaped(refused), icon=":material/error:")


def _take_file(dataset: str) -> None:
    file = st.session_state[key("file")]
    if file is None:
        return
    try:
        kept = api().upload_image(file.getvalue(), dataset)
    except ApiError as error:
        st.session_state[key("refused")] = f"{file.name}: {error}"
        return
    put("split", "upload")
    put("samples", str(kept.id))
    if value("target") == "label":
        put("target", "predicted")


def _brought() -> Samples | None:
    wanted = shown_images()[:MAX_IMAGES]
    words, back = st.columns([6, 1.5], vertical_alignment="center")
    back.button("Back to the test images", on_click=_back_to_test, width="stretch")
    if not wanted:
        st.info("No image of one's own is shown.", icon=":material/upload:")
        return None
    for number in wanted:
        try:
            kept = api().upload(number)
        except ApiError as error:
            st.error(f"{escaped(str(error))}. Upload it again.", icon=":material/error:")
            return None
        words.caption(f"Image {number}: {escaped(kept.fitted)}. It has no label and no null part.")
    return Samples(split="upload", indices=wanted)


def _back_to_test() -> None:
    put("split", "test")
    put("samples", "")
    put("target", "label")
