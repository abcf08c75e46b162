"""The form that registers the user's own images: in the data folder, uploaded, or on the Hugging Face Hub."""

import re
from dataclasses import dataclass
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import (
    ArchiveRequest,
    FieldError,
    PreviewArchiveRequest,
    PreviewRequest,
    RegisterRequest,
    RegistrationPreview,
    Status,
    Task,
)
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.client.durations import duration
from densitylab.frontend.launch_form.registration_columns import choose_columns
from densitylab.frontend.launch_form.registration_preview import show_preview
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, forget_catalog, show_api_errors
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.query_params import query_int
from densitylab.frontend.ui.status import flash

UPLOAD_MIB = 2048  # the limit of the API, and of the page in .streamlit/config.toml
PREVIEW = "preview"  # of the link: the task of a preview
FOLDER, UPLOAD, HUB = "The data folder", "A zip archive or .npz", "The Hugging Face Hub"
UNCHANGED = "unchanged"
LAYOUT = """\
- **Folders**: one per class, `cats/1.jpg`, `dogs/2.png`. To fix the splits, use `train/cats/1.jpg` and \
`test/cats/2.jpg` (`Training`, `val`, `Testing` work too). Optional: `groups.csv` with the columns `file` and `group`, \
and `masks/` with one mask per image at the same path, white, non-zero or opaque on the object.
- **A table** beside the images (CSV, TSV, JSON lines, Parquet) with a line for each: file, label, and optionally \
split, attributes and mask, as `metadata.csv` of Waterbirds and WILDS or the lists of CelebA.
- **Arrays**: an `.npz`, or `.npy` files: images N × H × W (× C), labels, and optionally splits, attributes and masks.
- **Parquet or Arrow files** that contain the images, as Hugging Face saves them.
- **A pattern** of paths, such as `{label}/{place}/*`.

Splits that are not given are drawn: 20 % of the images for testing, 10 % for validation. Images are JPEG, PNG, WebP, \
AVIF, GIF, BMP, TIFF or PPM; they are rotated by their EXIF orientation, transparent parts become black, and more than \
8 bits per channel are scaled to 8. Other files, such as a README, are passed over and counted.
"""


def show_register() -> None:
    """Draw the form, the preview that the link names, and the progress of the registration that it names."""
    task_id = query_int("registering")
    opened = task_id is not None or query_int(PREVIEW) is not None
    with st.expander("Register your own images", icon=":material/add_photo_alternate:", expanded=opened):
        if task_id is not None:
            show_registration(task_id)
        with st.popover("Forms of images", icon=":material/help:"):
            st.markdown(LAYOUT)
        fields = FieldErrors()
        source = st.segmented_control(
            "From", (FOLDER, UPLOAD, HUB), default=FOLDER, required=True, key="register-source"
        )
        label = st.text_input("Name", key="register-label", max_chars=100, persist_state="page")
        fields.show("/label", "/request/label")
        images = _source(source, fields)
        options = _options(fields)
        found = preview() if images.identity == st.session_state.get("register-previewed", images.identity) else None
        if found is not None and found.columns and options is not None:
            options |= choose_columns(found)
        fields.show("/columns", "/group_by")
        asked = st.button("Preview", icon=":material/visibility:", key="register-preview")
        if found is not None:
            show_preview(found)
        if st.button("Register", icon=":material/add:", type="primary") and options is not None:
            _register(images, {"label": label, **options}, fields)
        if asked and options is not None:
            _request_preview(images, options, fields)


@dataclass(frozen=True)
class _Images:
    """Where the images are: fields of the request, and the chosen file unless it is uploaded already."""

    given: dict[str, Any]
    archive: Any
    missing: str  # what to do where there is neither; empty: nothing is missing

    @property
    def identity(self) -> str:
        return str(self.archive.file_id if self.archive is not None else self.given)


def _source(source: str, fields: FieldErrors) -> _Images:
    """Draw where the images are."""
    if source == UPLOAD:
        archive = st.file_uploader(
            f"Zip archive or .npz, at most {UPLOAD_MIB:,} MiB", ("zip", "npz"), key="register-archive"
        )
        fields.show("/archive", "/preview")
        return _Images({}, archive, "" if archive else "choose a zip archive or .npz")
    name = "path" if source == FOLDER else "hub"
    text = st.text_input(
        "Folder, .zip, .npz or table in the data folder (DENSITYLAB_DATA_DIR)"
        if source == FOLDER
        else "Data set on the Hub; the workers download it",
        placeholder="birds" if source == FOLDER else "owner/name",
        key=f"register-{name}",
        persist_state="page",
    )
    fields.show(f"/{name}")
    return _Images({name: text}, None, "")


def _options(fields: FieldErrors) -> dict[str, Any] | None:
    """Draw how the images are read; return the request's fields, None where one can't be read."""
    cells = st.columns(3)
    size = cells[0].selectbox(
        "Image size",
        (UNCHANGED, "64", "96", "128", "224"),
        key="register-size",
        persist_state="page",
        accept_new_options=True,
        help="Height and width in pixels; type another one, also as 96×128. All images are cropped around their "
        "centre to that shape and scaled. Unchanged: all must have the same size.",
    )
    with cells[0]:
        fields.show("/image_size", "/request/image_size")
    marks = cells[1].selectbox(
        "White in the masks marks",
        ("object", "null"),
        key="register-marks",
        persist_state="page",
        format_func={"object": "the object", "null": "the null region"}.__getitem__,
    )
    seed = cells[2].number_input(
        "Data seed", 0, 2**31 - 1, 0, key="register-seed", persist_state="page", help="Seed of the random splits."
    )
    with st.expander("Table, pattern and names", key="register-names"):
        texts = {
            name: st.text_input(title, key=f"register-{name}", persist_state="page", placeholder=example, help=help)
            for name, title, example, help in (
                ("table", "Table", "recognised", "Name of the table that lists the images, such as metadata.csv."),
                ("pattern", "Pattern of the paths", "{label}/{place}/*", "Names in braces: label, split, attributes."),
                ("class-names", "Class names", "landbird, waterbird", "In the order of the labels' values."),
                ("splits", "Splits of values", "A = train, B = test", "Where the split column has unusual values."),
            )
        }
        fields.show("/table", "/pattern", "/class_names", "/split_values", "/columns", "/group_by")
    try:
        sides = sides_of(size)
    except ValueError as error:
        fields.add([FieldError(pointer="/image_size", detail=str(error))])
        return None
    splits = [part.partition("=") for part in texts["splits"].split(",") if part.strip()]
    return {
        "image_size": sides,
        "mask_marks": marks,
        "data_seed": int(seed),
        "table": texts["table"].strip() or None,
        "pattern": texts["pattern"].strip() or None,
        "class_names": [name.strip() for name in texts["class-names"].split(",")] if texts["class-names"] else None,
        "split_values": {value.strip(): split.strip() for value, _, split in splits},
    }


def sides_of(text: str | None) -> list[int] | None:
    """Return height and width; None for unchanged. Raises ValueError for other texts."""
    if text in (None, "", UNCHANGED):
        return None
    match = re.fullmatch(r"\s*(\d+)\s*(?:[x×*,]\s*(\d+))?\s*", text or "")
    if match is None:
        raise ValueError(f"expected one number of pixels, or height×width, got {text!r}")
    return [int(match[1]), int(match[2] or match[1])]


def _request_preview(images: _Images, options: dict[str, Any], fields: FieldErrors) -> None:
    if images.missing:
        fields.add([FieldError(pointer="/archive", detail=images.missing)])
        return
    uploaded = _uploaded(images)
    with show_api_errors(fields), st.spinner("Uploading the archive …" if images.archive else ""):
        if images.archive is not None and uploaded is None:
            request = PreviewArchiveRequest.model_validate(options)
            task = api().request_archive_preview(request, images.archive.name, images.archive)
            st.session_state["register-uploaded"] = (images.identity, task.id)
        else:
            given = images.given if uploaded is None else {"preview": uploaded}
            task = api().request_preview(PreviewRequest.model_validate({**options, **given}))
        st.session_state["register-previewed"] = images.identity
        st.query_params[PREVIEW] = str(task.id)
        st.rerun()


def _register(images: _Images, request: dict[str, Any], fields: FieldErrors) -> None:
    if images.missing:
        fields.add([FieldError(pointer="/archive", detail=images.missing)])
        return
    uploaded = _uploaded(images)
    with show_api_errors(fields), st.spinner("Uploading the archive …" if images.archive else ""):
        if images.archive is not None and uploaded is None:
            follow(api().register_archive(ArchiveRequest.model_validate(request), images.archive.name, images.archive))
        given = images.given if uploaded is None else {"preview": uploaded}
        follow(api().register(RegisterRequest.model_validate({**request, **given})))


def _uploaded(images: _Images) -> int | None:
    """Return the preview that the chosen archive was uploaded for; None if it was not."""
    identity, task_id = st.session_state.get("register-uploaded", (None, None))
    return task_id if images.archive is not None and identity == images.identity else None


def follow(task: Task) -> None:
    st.query_params.pop(PREVIEW, None)
    st.query_params["registering"] = str(task.id)
    st.rerun()


def preview() -> RegistrationPreview | None:
    """Return what the preview of the link found; draw its progress, or its error, where it has not succeeded."""
    task_id = query_int(PREVIEW)
    if task_id is None:
        return None
    with show_api_errors():
        task = api().task(task_id)
        if task.status is Status.SUCCEEDED:
            return api().registration_preview(task_id)
        if task.status.final:
            st.error(_lines(task.error or "The preview was cancelled."), icon=":material/error:")
        else:
            _show_preview_progress(task_id)
    return None


@fragment(run_every=REFRESH_SECONDS)
def _show_preview_progress(task_id: int) -> None:
    task = api().task(task_id)
    if task.status.final:
        st.rerun()
    st.progress(task.progress, text=f"Preview: {task.stage or 'waiting for a worker'}")
    if st.button("Cancel", key="cancel-preview", icon=":material/stop:"):
        with show_api_errors():
            api().cancel_task(task_id)


def show_registration(task_id: int) -> None:
    """Draw the progress with Cancel, or the error; on success, report it and leave the registration."""
    with show_api_errors():
        task = api().task(task_id)
        if not task.status.final:
            left = f", {duration(task.eta_seconds)} left" if task.eta_seconds is not None else ""
            st.progress(task.progress, text=f"Registering: {task.stage or 'waiting for a worker'}{left}")
            if st.button("Cancel", key="cancel-register", icon=":material/stop:"):
                api().cancel_task(task.id)
                st.rerun()
        elif task.status == Status.SUCCEEDED:
            del st.query_params["registering"]
            forget_catalog()
            flash("Registered: the data set is ready.")
            st.rerun()
        else:
            error = task.error or "The registration was cancelled; nothing was stored."
            st.error(_lines(error), icon=":material/error:")


def _lines(error: str) -> str:
    return escaped(error).replace("\n", "  \n")


def registration_active() -> bool:
    task_id = query_int("registering")
    return task_id is not None and not api().task(task_id).status.final
