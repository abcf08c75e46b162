"""The data sets: which are ready, how large they are, and what their images look like."""

from collections.abc import Sequence
from html import escape as html_escaped

import pandas as pd
import streamlit as st

from backend.shared.contracts import Dataset, DatasetForm, DatasetSample
from frontend.client import ApiError
from frontend.parts import REFRESH_SECONDS, api, catalog, flash, problems_shown, show_problem
from frontend.registering import registration_active, show_register
from frontend.widgets import FieldErrors, parameters
from frontend.words import duration, escaped, readable, size

EXAMPLES = 24
ANY = -1  # class
SPLITS = ("train", "validation", "test")
_STATES = {
    "ready": ":green-badge[:material/check: ready]",
    "preparing": ":blue-badge[:material/hourglass_top: is being prepared]",
    "absent": ":gray-badge[:material/cloud_off: not prepared]",
}


def show_dataset(dataset: Dataset) -> None:
    with st.container(border=True):
        name, facts, action = st.columns([4, 5, 2], vertical_alignment="center")
        with name:
            st.markdown(f"**{escaped(dataset.label)}** {_STATES[dataset.status]}")
            st.caption(escaped(dataset.summary))
        with facts:
            height, width = dataset.image_size
            shape = f"{height} × {width} × {dataset.channels}, {dataset.num_classes} classes"
            groups = f" · {len(dataset.group_names)} groups" * dataset.has_groups
            st.caption(shape + " · null mask" * dataset.has_mask + groups)
            if dataset.sizes:
                st.caption(sizes_text(dataset) + (f" · {size(dataset.bytes)}" if dataset.bytes else ""))
            if dataset.task is not None and dataset.status == "absent":
                error = api().task(dataset.task).error
                if error:
                    st.caption(f":red[{escaped(error.splitlines()[-1])}]")
            for other in dataset.others:
                st.caption(f"{parameters_text(dataset, other)}: {other.status}"
                           + (f" · {sizes_text(other)} · {size(other.bytes)}" if other.bytes else ""))
        with action:
            if dataset.status == "preparing":
                show_preparation(dataset.key, dataset.task)
            elif not dataset.registered:
                show_prepare(dataset)
            for other in dataset.others:
                if other.status == "preparing":
                    show_preparation(f"{dataset.key}-{other.task}", other.task)
            removable = dataset.status == "ready" or dataset.others
            if removable and st.button("Remove", key=f"remove-{dataset.key}", icon=":material/delete:"):
                confirm_remove(dataset)


def sizes_text(form: Dataset | DatasetForm) -> str:
    return ", ".join(f"{form.sizes[split]:,} {split}" for split in SPLITS if split in form.sizes)


def parameters_text(dataset: Dataset, form: DatasetForm) -> str:
    """The parameters that are not the defaults."""
    entry = catalog().entry("dataset", dataset.key)
    defaults = {} if entry is None else {param.name: param.default for param in entry.params}
    words = {True: "on", False: "off"}
    return escaped(", ".join(
        f"{readable(name)} {words[value] if isinstance(value, bool) else value}"
        for name, value in form.params.items() if value != defaults.get(name)
    ))


def show_prepare(dataset: Dataset) -> None:
    """Prepare, with parameters to choose; and why it went wrong the last time."""
    entry = catalog().entry("dataset", dataset.key)
    if entry is None:
        return
    help = None if dataset.embedded else "Downloads it first, unless its files lie in the data folder."
    with st.popover("Prepare", icon=":material/download:", help=help):
        params = parameters(catalog(), entry, {}, key=f"params-{dataset.key}", at="/params", errors=FieldErrors())
        if st.button("Prepare it", key=f"prepare-{dataset.key}", type="primary"):
            with problems_shown():
                api().prepare_dataset(dataset.key, params)
                flash(f"{dataset.label} is being prepared.")
                st.rerun()


@st.dialog("Remove the data set")
def confirm_remove(dataset: Dataset) -> None:
    total = sum(form.bytes or 0 for form in (dataset, *dataset.others))
    st.markdown(f"**{escaped(dataset.label)}**, {size(total)}, is removed from the disk, and so is what was downloaded "
                "for it. Runs stay, but new maps and measures of them need it. "
                + ("Your images are forgotten; the folder that they came from stays." if dataset.registered
                   else "It can be prepared again."))
    if st.button("Remove", key="confirm-remove", icon=":material/delete:", type="primary"):
        with problems_shown():
            freed = api().remove_dataset(dataset.key)
            catalog.clear()
            flash(f"{dataset.label} is removed; {size(freed.bytes)} are free again.")
            st.rerun()


def show_preparation(key: str, task_id: int | None) -> None:
    if task_id is None:
        return
    task = api().task(task_id)
    left = f", {duration(task.eta_seconds)} left" if task.eta_seconds is not None else ""
    st.progress(task.progress, text=f"{task.stage or 'waits for a worker'}{left}")
    if st.button("Cancel", key=f"cancel-{key}", icon=":material/stop:"):
        with problems_shown():
            api().cancel_task(task.id)
            st.rerun()


def show_examples(ready: Sequence[Dataset]) -> None:
    st.subheader("Examples")
    if not ready:
        st.info("No data set is ready yet: prepare one above. BlockMNIST needs no download.",
                icon=":material/lightbulb:")
        return
    labels = {dataset.key: dataset for dataset in ready}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = st.selectbox("Data set", list(labels), key="data", bind="query-params", width=260,
                           format_func=lambda item: labels[item].label)
        dataset = labels[key]
        split = st.segmented_control("Split", SPLITS, default="test", required=True, key="split", bind="query-params")
        label = st.selectbox("Class", [ANY, *range(dataset.num_classes)], key="class", bind="query-params", width=180,
                             format_func=lambda item: "any" if item == ANY else class_name(dataset, item))
        start = st.number_input("From image", 0, key="from", bind="query-params", step=EXAMPLES, width=150)
        masked = st.toggle("Show the null mask", key="mask", bind="query-params", disabled=not dataset.has_mask)
    page = api().samples(key, split=split, label=None if label == ANY else label, offset=int(start), limit=EXAMPLES)
    st.caption(f"{page.total:,} images" + (", the null mask in red: what the label does not depend on"
                                          if masked and dataset.has_mask else ""))
    if not page.items:
        st.info("No image from there on.", icon=":material/filter_alt:")
        return
    st.html(images_html(dataset, page.items, masked))
    for name, counts, names in (
        ("class", dataset.class_counts, [class_name(dataset, label) for label in range(dataset.num_classes)]),
        ("group", dataset.group_counts, dataset.group_names),
    ):
        if counts:
            with st.expander(f"Images of each {name}, as a table"):
                table = pd.DataFrame({split: counts[split] for split in SPLITS if split in counts}, index=names)
                st.dataframe(table.rename_axis(name))


def class_name(dataset: Dataset, label: int) -> str:
    return dataset.class_names[label] if label < len(dataset.class_names) else str(label)


def images_html(dataset: Dataset, samples: Sequence[DatasetSample], masked: bool) -> str:
    cells = []
    for sample in samples:
        words = html_escaped(class_name(dataset, sample.label))
        if sample.group is not None and sample.group < len(dataset.group_names):
            words += f", {html_escaped(dataset.group_names[sample.group])}"
        described = f"image {sample.index}, {words}"
        layers = f'<img src="{html_escaped(sample.image)}" alt="{described}" style="{_IMAGE}">'
        if masked and sample.mask:
            # The mask is white where it holds: as a CSS mask it lets the red through there
            layers += f'<div style="{_MASK};mask-image:url({html_escaped(sample.mask)})"></div>'
        cells.append(f'<figure style="margin:0"><div style="{_LAYERS}">{layers}</div>'
                     f'<figcaption style="font-size:0.8rem">{sample.index}: {words}</figcaption></figure>')
    return f'<div style="display:flex;flex-wrap:wrap;gap:0.8rem">{"".join(cells)}</div>'


_LAYERS = "position:relative;line-height:0;width:fit-content"
_IMAGE = "height:112px;image-rendering:pixelated"
_MASK = "position:absolute;inset:0;background:rgba(220,40,40,0.5);mask-size:100% 100%;mask-mode:luminance"


def preparing(dataset: Dataset) -> bool:
    return any(form.status == "preparing" for form in (dataset, *dataset.others))


def any_preparing() -> bool:
    try:
        return registration_active() or any(preparing(dataset) for dataset in api().datasets().items)
    except ApiError:
        return True  # until it is back


st.title("Data sets")
live = any_preparing()


@st.fragment(run_every=2 * REFRESH_SECONDS if live else None)
def show_datasets() -> None:
    with problems_shown(retrying=live):
        datasets = api().datasets().items
        if live and not registration_active() and not any(map(preparing, datasets)):
            st.rerun()
        for dataset in datasets:
            show_dataset(dataset)


show_datasets()
show_register()
try:
    show_examples([dataset for dataset in api().datasets().items if dataset.status == "ready"])
except ApiError as error:
    show_problem(error)
