"""The form that registers the user's own images: a path in the data folder, or an uploaded archive."""

from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import ArchiveRequest, FieldError, RegisterRequest, Status, Task
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.client.durations import duration
from densitylab.frontend.ui.api import api, catalog, show_api_errors
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.query_params import query_int
from densitylab.frontend.ui.status import flash

UPLOAD_MIB = 2048  # the limit of the API, and of the page in .streamlit/config.toml
LAYOUT = """\
One folder per class with its images: `cats/1.jpg`, `dogs/2.png`. To fix the splits, use `train/cats/1.jpg` and \
`test/cats/2.jpg` (`Training`, `val`, `Testing` work too); otherwise 20 % of the images become the test split and 10 % \
the validation split.

- Images: JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or PPM. They are rotated by their EXIF orientation, transparent parts \
become black, and more than 8 bits per channel are scaled to 8. Other files, such as a README, are passed over; the \
data set's description counts them.
- `groups.csv` (optional): the columns `file` and `group`, one row per image (`cats/1.jpg,cat on snow`).
- `masks/` (optional): one mask per image at the same path (`masks/cats/1.png`), white, non-zero or opaque \
on the object.
"""


def show_register() -> None:
    """Draw the form, and the progress of the registration that the link names."""
    task_id = query_int("registering")
    with st.expander("Register your own images", icon=":material/add_photo_alternate:", expanded=task_id is not None):
        if task_id is not None:
            show_registration(task_id)
        st.markdown(LAYOUT)
        source = st.segmented_control(
            "From",
            ("The data folder", "A zip archive"),
            default="The data folder",
            required=True,
            key="register-source",
        )
        with st.form("register", border=False):
            fields = FieldErrors()
            label = st.text_input("Name", key="register-label", max_chars=100, persist_state="page")
            fields.show("/label", "/request/label")
            path, archive = "", None
            if source == "The data folder":
                path = st.text_input(
                    "Folder or .zip file in the data folder (DENSITYLAB_DATA_DIR)",
                    placeholder="birds",
                    key="register-path",
                    persist_state="page",
                )
                fields.show("/path")
            else:
                archive = st.file_uploader(f"Zip archive, at most {UPLOAD_MIB:,} MiB", "zip", key="register-archive")
                fields.show("/archive")
            sides = st.columns(4)
            height = sides[0].number_input(
                "Height",
                8,
                512,
                None,
                key="register-height",
                persist_state="page",
                placeholder="unchanged",
                help="All images are cropped to the centre and scaled to this size. "
                "Empty: all images must have the same size.",
            )
            width = sides[1].number_input(
                "Width", 8, 512, None, key="register-width", persist_state="page", placeholder="unchanged"
            )
            marks = sides[2].selectbox(
                "White in the masks marks",
                ("object", "null"),
                key="register-marks",
                persist_state="page",
                format_func={"object": "the object", "null": "the null block"}.__getitem__,
            )
            seed = sides[3].number_input(
                "Data seed",
                0,
                2**31 - 1,
                0,
                key="register-seed",
                persist_state="page",
                help="Seed of the random splits.",
            )
            fields.show("/image_size", "/request/image_size")
            sent = st.form_submit_button("Register", icon=":material/add:")
        if not sent:
            return
        if (height is None) != (width is None):
            fields.add([FieldError(pointer="/image_size", detail="give both height and width, or neither")])
            return
        options: dict[str, Any] = {
            "label": label,
            "mask_marks": marks,
            "data_seed": int(seed),
            "image_size": None if height is None or width is None else [int(height), int(width)],
        }
        if source == "The data folder":
            with show_api_errors(fields):
                follow(api().register(RegisterRequest(**options, path=path)))
        elif archive is None:
            fields.add([FieldError(pointer="/archive", detail="choose a zip archive")])
        else:
            with show_api_errors(fields), st.spinner("Uploading the archive …"):
                follow(api().register_archive(ArchiveRequest(**options), archive.name, archive))


def follow(task: Task) -> None:
    st.query_params["registering"] = str(task.id)
    st.rerun()


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
            catalog.clear()
            flash("Registered: the data set is ready.")
            st.rerun()
        else:
            error = task.error or "The registration was cancelled; nothing was stored."
            st.error(escaped(error).replace("\n", "  \n"), icon=":material/error:")


def registration_active() -> bool:
    task_id = query_int("registering")
    return task_id is not None and not api().task(task_id).status.final
