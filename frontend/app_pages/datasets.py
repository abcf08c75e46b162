"""The data sets: status, sizes, example images, and registration of new ones."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st
from markupsafe import Markup

from densitylab.backend.shared.contracts import Dataset, DatasetSample, DatasetVariant
from densitylab.frontend.analysis.formatting import by_owner, counted, escaped, readable, size
from densitylab.frontend.assets import read_asset, template
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.durations import duration
from densitylab.frontend.launch_form.register_form import registration_active, show_register
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, catalog, forget_catalog, show_api_errors
from densitylab.frontend.ui.entry_points import dialog, fragment
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.status import flash
from densitylab.frontend.ui.widgets import parameters

EXAMPLES = 24
ANY = -1  # class
SPLITS = ("train", "validation", "test")
_STATES = {
    "ready": ":green-badge[:material/check: ready]",
    "preparing": ":blue-badge[:material/hourglass_top: preparing]",
    "absent": ":gray-badge[:material/cloud_off: not prepared]",
}


def show_dataset(dataset: Dataset) -> None:
    with st.container(border=True):
        name, facts, action = st.columns([6, 4, 3], vertical_alignment="center")
        with name:
            st.markdown(f"**{escaped(dataset.label)}** {_STATES[dataset.status]}")
            st.caption(f"`{dataset.key}` · {escaped(dataset.summary)}")
        with facts:
            height, width = dataset.image_size
            shape = f"{height} × {width} × {dataset.channels}, {dataset.num_classes} classes"
            groups = f" · {len(dataset.group_names)} groups" * dataset.has_groups
            if dataset.attributes:
                groups += f" · attributes: {escaped(', '.join(item.name for item in dataset.attributes[:10]))}"
            st.caption(shape + " · null mask" * dataset.has_mask + groups + by_owner(dataset.owner))
            if dataset.sizes:
                st.caption(sizes_text(dataset) + (f" · {size(dataset.bytes)}" if dataset.bytes else ""))
            if dataset.task is not None and dataset.status == "absent":
                error = api().task(dataset.task).error
                if error:
                    st.caption(f":red[{escaped(error.splitlines()[-1])}]")
            for other in dataset.others:
                st.caption(
                    f"{parameters_text(dataset, other)}: {other.status}"
                    + (f" · {sizes_text(other)} · {size(other.bytes)}" if other.bytes else "")
                )
        with action, st.container(horizontal=True, horizontal_alignment="right"):
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


def sizes_text(variant: Dataset | DatasetVariant) -> str:
    return ", ".join(f"{variant.sizes[split]:,} {split}" for split in SPLITS if split in variant.sizes)


def parameters_text(dataset: Dataset, variant: DatasetVariant) -> str:
    """Return the parameters that differ from their defaults."""
    entry = catalog().entry("dataset", dataset.key)
    defaults = {} if entry is None else {param.name: param.default for param in entry.params}
    switches = {True: "on", False: "off"}
    return escaped(
        ", ".join(
            f"{readable(name)} {switches[value] if isinstance(value, bool) else value}"
            for name, value in variant.params.items()
            if value != defaults.get(name)
        )
    )


def show_prepare(dataset: Dataset) -> None:
    """Draw the popover with the parameters and the button that prepares the data set."""
    entry = catalog().entry("dataset", dataset.key)
    if entry is None:
        return
    help = None if dataset.embedded else "Downloads the files first, unless they are in the data folder."
    with st.popover("Prepare", icon=":material/download:", help=help):
        fields = FieldErrors()
        params = parameters(catalog(), entry, {}, key=f"params-{dataset.key}", at="/params", errors=fields)
        if st.button("Prepare", key=f"prepare-{dataset.key}", type="primary"):
            with show_api_errors(fields):
                api().prepare_dataset(dataset.key, params)
                flash(f"Preparing {dataset.label}.")
                st.rerun()


@dialog("Remove the data set")
def confirm_remove(dataset: Dataset) -> None:
    variants: list[Dataset | DatasetVariant] = [dataset, *dataset.others]
    total = sum(variant.bytes or 0 for variant in variants)
    st.markdown(
        f"**{escaped(dataset.label)}**, {size(total)}, is removed from the disk together with its downloads. "
        "Runs stay, but their new maps and evaluations need the data set. "
        + ("The registration ends; the original folder stays." if dataset.registered else "It can be prepared again.")
    )
    if st.button("Remove", key="confirm-remove", icon=":material/delete:", type="primary"):
        with show_api_errors():
            freed = api().remove_dataset(dataset.key)
            forget_catalog()
            flash(f"Removed {dataset.label}; {size(freed.bytes)} freed.")
            st.rerun()


def show_preparation(key: str, task_id: int | None) -> None:
    if task_id is None:
        return
    task = api().task(task_id)
    left = f", {duration(task.eta_seconds)} left" if task.eta_seconds is not None else ""
    st.progress(task.progress, text=f"{task.stage or 'waiting for a worker'}{left}")
    if st.button("Cancel", key=f"cancel-{key}", icon=":material/stop:"):
        with show_api_errors():
            api().cancel_task(task.id)
            st.rerun()


def show_examples(ready: Sequence[Dataset]) -> None:
    if not ready:
        st.info(
            "No data set is ready yet. Prepare one below; BlockMNIST needs no download.", icon=":material/lightbulb:"
        )
        return
    labels = {dataset.key: dataset for dataset in ready}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = st.selectbox(
            "Data set",
            list(labels),
            key="data",
            bind="query-params",
            width=260,
            format_func=lambda item: labels[item].label,
        )
        dataset = labels[key]
        split = st.segmented_control("Split", SPLITS, default="test", required=True, key="split", bind="query-params")
        label = st.selectbox(
            "Class",
            [ANY, *range(dataset.num_classes)],
            key="class",
            bind="query-params",
            width=180,
            format_func=lambda item: "any" if item == ANY else class_name(dataset, item),
        )
        start = st.number_input("From index", 0, 2**31 - 1, key="index", bind="query-params", step=EXAMPLES, width=150)
        masked = st.toggle("Show the null mask", key="mask", bind="query-params", disabled=not dataset.has_mask)
    page = api().samples(key, split=split, label=None if label == ANY else label, offset=int(start), limit=EXAMPLES)
    st.caption(
        counted(page.total or 0, "image")
        + ("; the null region, which the label does not depend on, in red" if masked and dataset.has_mask else "")
    )
    if not page.items:
        st.info("No images from this index on.", icon=":material/filter_alt:")
        return
    if dataset.group_counts:
        images, groups = st.columns([5, 2], gap="medium")
        with groups:
            st.markdown("**Images per group**")
            st.dataframe(counts_table(dataset.group_counts, dataset.group_names, "group"))
    else:
        images = st.container()
    images.html(images_html(dataset, page.items, masked))
    if dataset.class_counts:
        names = [class_name(dataset, label) for label in range(dataset.num_classes)]
        with st.expander("Images per class as a table"):
            st.dataframe(counts_table(dataset.class_counts, names, "class"))


def counts_table(counts: Mapping[str, Sequence[int]], names: Sequence[str], kind: str) -> pd.DataFrame:
    """Return the number of images by split (columns) and by name of the class or group (rows)."""
    table = pd.DataFrame({split: counts[split] for split in SPLITS if split in counts}, index=list(names))
    return table.rename_axis(kind)


def label_text(dataset: Dataset, sample: DatasetSample) -> str:
    """Return the class of the image and, if it has one, its group."""
    label = class_name(dataset, sample.label)
    if sample.group is None or sample.group >= len(dataset.group_names):
        return label
    group = dataset.group_names[sample.group]
    return group if group.startswith(f"{label}, ") else f"{label}, {group}"  # groups of attributes name the class too


def class_name(dataset: Dataset, label: int) -> str:
    return dataset.class_names[label] if label < len(dataset.class_names) else str(label)


def images_html(dataset: Dataset, samples: Sequence[DatasetSample], masked: bool) -> str:
    """Return the images with index and class, and with the null mask in red."""
    images = [
        {
            "index": sample.index,
            "url": sample.image,
            "mask": sample.mask if masked else None,
            "label": label_text(dataset, sample),
        }
        for sample in samples
    ]
    style = Markup(read_asset("app_pages/dataset_images.css"))
    return template("app_pages/dataset_images.html.jinja").render(style=style, images=images)


def preparing(dataset: Dataset) -> bool:
    return dataset.status == "preparing" or any(other.status == "preparing" for other in dataset.others)


def any_preparing() -> bool:
    try:
        return registration_active() or any(preparing(dataset) for dataset in api().datasets().items)
    except ApiError:
        return True  # until it is back


st.title("Data sets")
with show_api_errors():
    show_examples([dataset for dataset in api().datasets().items if dataset.status == "ready"])
show_register()
st.header("All data sets")
live = any_preparing()


@fragment(run_every=2 * REFRESH_SECONDS if live else None)
def show_datasets() -> None:
    datasets = api().datasets().items
    if live and not registration_active() and not any(map(preparing, datasets)):
        st.rerun()
    for dataset in datasets:
        show_dataset(dataset)


show_datasets()
