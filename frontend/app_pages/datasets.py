"""The data sets: which are ready, how large they are, and what their images look like."""

from collections.abc import Sequence
from html import escape as html_escaped

import pandas as pd
import streamlit as st

from backend.shared.contracts import Dataset, DatasetSample
from frontend.client import ApiError
from frontend.parts import REFRESH_SECONDS, api, flash, problems_shown, show_problem
from frontend.words import duration, escaped, size

EXAMPLES = 24
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
            images = ", ".join(f"{dataset.sizes[split]:,} {split}" for split in SPLITS if split in dataset.sizes)
            height, width = dataset.image_size
            shape = f"{height} × {width} × {dataset.channels}, {dataset.num_classes} classes"
            st.caption(shape + " · null mask" * dataset.has_mask + " · groups" * dataset.has_groups)
            if images:
                st.caption(images + (f" · {size(dataset.bytes)}" if dataset.bytes else ""))
        with action:
            if dataset.status == "absent":
                show_prepare(dataset)
            elif dataset.status == "preparing":
                show_preparation(dataset)


def show_prepare(dataset: Dataset) -> None:
    help = None if dataset.embedded else "Downloads it first."
    if st.button("Prepare", key=f"prepare-{dataset.key}", icon=":material/download:", help=help):
        with problems_shown():
            api().prepare_dataset(dataset.key)
            flash(f"{dataset.label} is being prepared.")
            st.rerun()
    if dataset.task is not None:
        task = api().task(dataset.task)
        if task.error:
            st.caption(f":red[{task.status.value}: {escaped(task.error.splitlines()[-1][:200])}]")


def show_preparation(dataset: Dataset) -> None:
    if dataset.task is None:
        return
    task = api().task(dataset.task)
    left = f", {duration(task.eta_seconds)} left" if task.eta_seconds is not None else ""
    st.progress(task.progress, text=f"{task.stage or 'waits for a worker'}{left}")
    if st.button("Cancel", key=f"cancel-{dataset.key}", icon=":material/stop:"):
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
        key = st.selectbox("Data set", list(labels), key="dataset", bind="query-params", width=260,
                           format_func=lambda item: labels[item].label)
        dataset = labels[key]
        split = st.segmented_control("Split", SPLITS, default="test", required=True, key="split", bind="query-params")
        classes = [None, *range(dataset.num_classes)]
        label = st.selectbox("Class", classes, key=f"class-{key}", width=180,
                             format_func=lambda item: "any" if item is None else class_name(dataset, item))
        start = st.number_input("From image", 0, key=f"from-{key}", step=EXAMPLES, width=150)
        masked = st.toggle("Show the null mask", key="mask", bind="query-params", disabled=not dataset.has_mask)
    page = api().samples(key, split=split, label=label, offset=int(start), limit=EXAMPLES)
    st.caption(f"{page.total:,} images" + (", the null mask in red: what the label does not depend on"
                                          if masked and dataset.has_mask else ""))
    if not page.items:
        st.info("No image from there on.", icon=":material/filter_alt:")
        return
    st.html(images_html(dataset, page.items, masked))
    with st.expander("Images of each class, as a table"):
        counts = {split: dataset.class_counts[split] for split in SPLITS if split in dataset.class_counts}
        if counts:
            table = pd.DataFrame(counts, index=[class_name(dataset, place) for place in range(dataset.num_classes)])
            st.dataframe(table.rename_axis("class"))
        else:
            st.caption("Not counted.")


def class_name(dataset: Dataset, label: int) -> str:
    return dataset.class_names[label] if label < len(dataset.class_names) else str(label)


def images_html(dataset: Dataset, samples: Sequence[DatasetSample], masked: bool) -> str:
    cells = []
    for sample in samples:
        words = html_escaped(class_name(dataset, sample.label))
        described = f"image {sample.index}, {words}"
        layers = f'<img src="{html_escaped(sample.image)}" alt="{described}" style="{_IMAGE}">'
        if masked and sample.mask:
            # The mask is white where it holds: as a CSS mask it lets the red through there
            layers += f'<div style="{_MASK};mask-image:url({html_escaped(sample.mask)})"></div>'
        cells.append(f'<figure style="margin:0"><div style="position:relative;line-height:0">{layers}</div>'
                     f'<figcaption style="font-size:0.8rem">{sample.index}: {words}</figcaption></figure>')
    return f'<div style="display:flex;flex-wrap:wrap;gap:0.8rem">{"".join(cells)}</div>'


_IMAGE = "height:112px;image-rendering:pixelated"
_MASK = "position:absolute;inset:0;background:rgba(220,40,40,0.5);mask-size:100% 100%;mask-mode:luminance"


def any_preparing() -> bool:
    try:
        return any(dataset.status == "preparing" for dataset in api().datasets().items)
    except ApiError:
        return True  # until it is back


st.title("Data sets")
live = any_preparing()


@st.fragment(run_every=2 * REFRESH_SECONDS if live else None)
def show_datasets() -> None:
    with problems_shown(retrying=live):
        datasets = api().datasets().items
        if live and not any(dataset.status == "preparing" for dataset in datasets):
            st.rerun()
        for dataset in datasets:
            show_dataset(dataset)


show_datasets()
try:
    show_examples([dataset for dataset in api().datasets().items if dataset.status == "ready"])
except ApiError as error:
    show_problem(error)
