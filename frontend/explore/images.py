"""The choice of images: filtered, by index, pinned, starred, or uploaded."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import Dataset, FieldError, Run, Samples, SamplesFound, Split
from densitylab.frontend.analysis.formatting import escaped, joined, readable
from densitylab.frontend.client import ApiError
from densitylab.frontend.explore.link import ALL, BY_INDEX, MAX_IMAGES, change_view, key, put, value
from densitylab.frontend.maps.view import RunColumn
from densitylab.frontend.ui.api import api, caller, catalog, show_api_errors
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.widgets import parse_numbers

_PASSING, _KEEP, _TAKEN = "lab_passing", "lab_keep", "lab_taken"
# Endings of the images that the API reads
UPLOAD_TYPES = (
    *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "avif", "gif", "bmp", "tif", "tiff"),
    *("ppm", "pgm", "pbm", "pnm"),
)
_WRONG = "wrong_"  # with a run's id: the images that the run misclassifies


@st.cache_data(show_spinner=False, max_entries=100, ttl=60)
def _browse(
    caller: str, runs: tuple[int, ...], label: int | None, group: int | None, only: str, worst: str | None
) -> SamplesFound:
    """Return the matching images of all pages."""
    samples = api().browse(runs, label=label, group=group, only=only, worst=worst)
    cursor = samples.next_cursor
    while cursor is not None:
        page = api().browse(runs, label=label, group=group, only=only, worst=worst, cursor=cursor)
        samples.items += page.items
        cursor = page.next_cursor
    return samples


def choose_images(
    runs: Sequence[Run], columns: Sequence[RunColumn], fields: FieldErrors, *, one: bool = False
) -> Samples | None:
    """Return the images to show; None, after a message, where there are none.

    Args:
        runs: of one data set.
        columns: the runs' columns.
        fields: of the page, to which the field of the indices is added.
        one: whether the page shows a single image, without pin and stars.
    """
    dataset = api().dataset(runs[0].spec.dataset.key)
    variants = [dataset.sizes, *(variant.sizes for variant in dataset.others)]  # of equal size
    messages = st.container()
    with st.sidebar.expander("Images", expanded=True):
        if value("split") == "upload":
            st.button("Back to the test images", on_click=_back_to_test, width="stretch")
            _show_upload(dataset, runs[0].spec.dataset.params)
            return _uploaded(messages)
        split = _choose_split(variants)
        size = max(sizes.get(split, 0) for sizes in variants)
        if split == "test":
            matching = _filtered(dataset, columns, messages)
            passing, total = [sample.index for sample in matching.items], matching.total
        else:
            passing, total = list(range(size)), size
        st.session_state[_PASSING] = passing
        if one:
            put("count", 1)
            put("samples", joined(shown_images()[:1]) or value("samples"))
        if not value("samples"):
            put("samples", joined(_from(passing, st.session_state.pop(_KEEP, None))[: st.session_state[key("count")]]))
        _choose_indices(split, total, size, fields, one=one)
        _show_upload(dataset, runs[0].spec.dataset.params)
    if not passing and not value("samples"):
        st.info(f"No {split} image matches these filters.", icon=":material/filter_alt:")
        return None
    try:
        indices = [int(index) for index in parse_numbers(value("samples"), int)]
    except ValueError as error:
        _refuse(fields, str(error))
        return None
    if value("pin") is not None and not one:
        indices = [value("pin"), *(index for index in indices if index != value("pin"))][:MAX_IMAGES]
    if len(indices) > MAX_IMAGES or min(indices) < 0:
        detail = f"choose 1 to {MAX_IMAGES} images with indices from 0 to {size - 1}; the field has {len(indices)}"
        _refuse(fields, detail)
        return None
    with show_api_errors(fields):
        return Samples(split=split, indices=indices)
    return None


def _refuse(fields: FieldErrors, detail: str) -> None:
    """Show what is wrong with the indices beside their field, and on the page, where the sidebar may be closed."""
    fields.add([FieldError(pointer="/samples", detail=detail)])
    st.caption(":red[Correct what is marked in red in the sidebar.]")


def show_more() -> None:
    """Callback of a button: show twice as many images, from the first shown one on."""
    put("count", min(2 * max(len(shown_images()), 1), MAX_IMAGES))
    _resize()


def _choose_split(variants: Sequence[Mapping[str, int]]) -> Split:
    """Draw the choice of the split, if the data set has validation images; return it."""
    if not any(sizes.get("validation") for sizes in variants):
        put("split", "test")
    else:
        st.segmented_control(
            "Images",
            ["test", "validation"],
            required=True,
            key=key("split"),
            on_change=_change_split,
            help="Filters, and the order by a metric, are of test images.",
        )
    return "validation" if value("split") == "validation" else "test"


def _change_split() -> None:
    """Show the first images of the other split, without a pinned one."""
    put("samples", "")
    put("pin", None)


def _choose_indices(split: Split, passing: int, size: int, fields: FieldErrors, *, one: bool) -> None:
    """Draw the indices, the buttons to step through the images, and the pin."""
    st.text_input(
        f"{split.capitalize()} image{'' if one else 's'} ({passing} of {size} match)",
        key=key("samples"),
        help="The index. The arrow keys step through the matching images."
        if one
        else "Indices, separated by commas. The arrow keys step through the matching images.",
    )
    fields.show("/samples", "/index", "/indices")
    back, forward = st.columns(2)
    back.button("Back", key="lab_back", on_click=_step, args=(-1,), shortcut="Left", width="stretch")
    forward.button("Next", key="lab_on", on_click=_step, args=(1,), shortcut="Right", width="stretch")
    if not one:
        count, pin = st.columns(2)
        count.number_input("At a time", 1, MAX_IMAGES, key=key("count"), on_change=_resize)
        pin.number_input(
            "Pinned image",
            0,
            max(size - 1, 0),
            key=key("pin"),
            placeholder="none",
            help="Always shown first, for reference.",
        )
        _stars()


# ---- filters ----------------------------------------------------------------------------------------------------


def _filtered(dataset: Dataset, columns: Sequence[RunColumn], messages: DeltaGenerator) -> SamplesFound:
    """Draw the filters and return the matching images; all, after a message, where the runs cannot be combined."""
    runs = tuple(column.run for column in columns)
    predictions = {ALL: "all", "wrong_any": "misclassified by a run"}
    if len(runs) > 1:
        predictions |= {
            "wrong_all": "misclassified by all runs",
            "disagree": "runs disagree",
            **{f"{_WRONG}{column.run}": f"misclassified by {column.label}" for column in columns},
        }
    classes = {ALL: "all", **{str(index): name for index, name in enumerate(dataset.class_names)}}
    orders = _browse(caller(), runs, None, None, ALL, None).orders
    sorts = {BY_INDEX: "index", **{order: _sort_label(order) for order in orders}}
    groups = {ALL: "all", **{str(index): name for index, name in enumerate(dataset.group_names)}}
    for name, choices in (("class", classes), ("group", groups), ("only", predictions), ("worst", sorts)):
        if value(name) not in choices:
            messages.error(
                f"The link has {name} = {escaped(str(value(name))[:50])}, which is not one of "
                f"{escaped(', '.join(map(str, choices)))}.",
                icon=":material/link_off:",
            )
            put(name, next(iter(choices)))
    cells = st.columns(2)
    cells[0].selectbox("Class", list(classes), key=key("class"), on_change=_show_first, format_func=classes.__getitem__)
    cells[1].selectbox(
        "Prediction", list(predictions), key=key("only"), on_change=_show_first, format_func=predictions.__getitem__
    )
    if dataset.has_groups:
        st.selectbox("Group", list(groups), key=key("group"), on_change=_show_first, format_func=groups.__getitem__)
    st.selectbox("Sort by", list(sorts), key=key("worst"), on_change=_show_first, format_func=sorts.__getitem__)
    only, judges = value("only"), runs
    if only.startswith(_WRONG) and only.removeprefix(_WRONG).isdecimal():
        only, judges = "wrong_any", (int(only.removeprefix(_WRONG)),)
    label, group = (None if value(name) == ALL else int(value(name)) for name in ("class", "group"))
    try:
        return _browse(caller(), judges, label, group, only, None if value("worst") == BY_INDEX else value("worst"))
    except ApiError as error:
        messages.warning(f"These images cannot be filtered: {escaped(str(error))}", icon=":material/filter_alt_off:")
        return _browse(caller(), runs, None, None, ALL, None)


def _sort_label(order: str) -> str:
    evaluation, _, name = order.partition(".")
    return f"worst {readable(evaluation)}" + ("" if name == evaluation else f": {readable(name)}")


def _from(passing: list[int], first: int | None) -> list[int]:
    """Return the images from `first` on, or all if it is not among them."""
    return passing[passing.index(first) :] if first in passing else passing


def _show_first() -> None:
    """Show the first matching images after a change of the filters."""
    put("samples", "")


def _resize() -> None:
    """Keep the first image after a change of their number."""
    shown = shown_images()
    st.session_state[_KEEP] = shown[0] if shown else None
    put("samples", "")


def _step(direction: int) -> None:
    """Show the next or the previous matching images; wrap around at the ends."""
    shown, count = shown_images(), st.session_state[key("count")]
    passing = st.session_state.get(_PASSING, [])
    positions = [passing.index(index) for index in shown if index in passing]
    if direction > 0:
        start = max(positions) + 1 if positions else 0
        following = passing[start : start + count] or passing[:count]
    else:
        end = min(positions) if positions else len(passing)
        following = passing[max(end - count, 0) : end] or passing[-count:]
    put("samples", joined(following))


def shown_images() -> list[int]:
    """Return the indices in the field; none where they cannot be read."""
    try:
        return [int(index) for index in parse_numbers(value("samples"), int)]
    except ValueError:
        return []


# ---- starred ----------------------------------------------------------------------------------------------------


def _stars() -> None:
    """Draw the named set of images that the link stores."""
    choices = list(dict.fromkeys([*value("starred"), *shown_images()]))
    with st.popover("Starred images", icon=":material/star:", width="stretch"):
        st.multiselect(
            "Images of the set",
            choices,
            key=key("starred"),
            placeholder="choose from the shown images",
            help="A set of images that the link of this page stores.",
        )
        st.text_input("Name of the set", key=key("set"), max_chars=100, placeholder="for example: ambiguous labels")
        st.button("Show the set", key="lab_show_stars", on_click=_show_stars, disabled=not value("starred"))


def _show_stars() -> None:
    starred = value("starred")[:MAX_IMAGES]
    put("samples", joined(starred))
    put("count", len(starred))


# ---- uploaded images --------------------------------------------------------------------------------------------


def _show_upload(dataset: Dataset, params: Mapping[str, Any]) -> None:
    height, width = catalog().image_size(dataset.key, params) or dataset.image_size
    with st.popover("Upload an image", icon=":material/upload:", width="stretch"):
        st.caption(
            f"JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or PPM, at most 8 MB and 67 megapixels. The image is rotated by "
            f"its EXIF orientation, put on black where it is transparent, cropped to its centre and scaled to "
            f"{height} × {width} pixels (height × width) as in {escaped(dataset.label)}"
            f"{', and converted to greyscale' if dataset.channels == 1 else ''}. Only the pixels are stored."
        )
        file = st.file_uploader("Image file", UPLOAD_TYPES, key=key("file"), max_upload_size=8)
        if file is not None and st.session_state.get(_TAKEN) != file.file_id:
            with show_api_errors():
                upload = api().upload_image(file.getvalue(), dataset.key, image_size=params.get("image_size"))
                st.session_state[_TAKEN] = file.file_id
                target = "predicted" if value("target") == "label" else value("target")
                change_view({"split": "upload", "samples": str(upload.id), "target": target})


def _uploaded(messages: DeltaGenerator) -> Samples | None:
    ids = shown_images()[:MAX_IMAGES]
    if not ids:
        messages.info("No uploaded image is selected.", icon=":material/upload:")
        return None
    for upload_id in ids:
        try:
            upload = api().upload(upload_id)
        except ApiError as error:
            messages.error(f"{escaped(str(error))}. Upload it again.", icon=":material/error:")
            return None
        messages.caption(f"Image {upload_id}: {escaped(upload.fitted)}. It has no label and no null region.")
    return Samples(split="upload", indices=ids)


def _back_to_test() -> None:
    put("split", "test")
    put("samples", "")
    put("target", "label")
