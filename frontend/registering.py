"""Registering one's own images: by a path in the data folder, or by an uploaded archive."""

import streamlit as st
from pydantic import ValidationError

from backend.shared.contracts import ArchiveRequest, RegisterRequest, Status, Task
from frontend.parts import api, catalog, flash, problems_shown, query_int
from frontend.widgets import problem
from frontend.words import duration, escaped

UPLOAD_MIB = 2048  # as the API takes; .streamlit/config.toml lets the page take as much
LAYOUT = """\
A folder for each class, with its images inside: `cats/1.jpg`, `dogs/2.png`. Splits are drawn (20 % to test, 10 % for \
validation) unless they are given: `train/cats/1.jpg`, `test/cats/2.jpg`.

- `groups.csv`, optional: the columns `file` and `group`, a line for each image (`cats/1.jpg,cat on snow`).
- `masks/`, optional: an image for every image, at the same place (`masks/cats/1.png`), white where the object is.
"""


def show_register() -> None:
    """The form, and how the registration that was asked for last goes on."""
    task_id = query_int("registering")
    with st.expander("Your own images", icon=":material/add_photo_alternate:", expanded=task_id is not None):
        if task_id is not None:
            show_registration(task_id)
        st.markdown(LAYOUT)
        source = st.segmented_control("From", ("The data folder", "A zip archive"), default="The data folder",
                                      required=True, key="register-source")
        with st.form("register", border=False):
            label = st.text_input("Name", key="register-label", max_chars=100)
            path, archive = "", None
            if source == "The data folder":
                path = st.text_input("Folder or .zip file in the data folder (DENSITYLAB_DATA_DIR)",
                                     placeholder="birds", key="register-path")
            else:
                archive = st.file_uploader(f"Zip archive, at most {UPLOAD_MIB:,} MiB", "zip", key="register-archive")
            sides = st.columns(4)
            height = sides[0].number_input("Height", 8, 512, None, key="register-height", placeholder="as they are",
                                           help="All images are cut around their middle and scaled to this size. "
                                                "Empty: they must have one size already.")
            width = sides[1].number_input("Width", 8, 512, None, key="register-width", placeholder="as they are")
            marks = sides[2].selectbox("White in the masks", ("object", "null"), key="register-marks",
                                       format_func={"object": "the object", "null": "the null part"}.__getitem__)
            seed = sides[3].number_input("Data seed", 0, 2**31 - 1, 0, key="register-seed",
                                         help="Draws the splits that are not given.")
            sent = st.form_submit_button("Register", icon=":material/add:")
        if not sent:
            return
        if (height is None) != (width is None):
            problem("Give both height and width, or neither.")
            return
        options = {"label": label, "mask_marks": marks, "data_seed": int(seed),
                   "image_size": None if height is None or width is None else [int(height), int(width)]}
        try:
            if source == "The data folder":
                request: ArchiveRequest = RegisterRequest(**options, path=path)
            else:
                request = ArchiveRequest(**options)
        except ValidationError as error:
            for item in error.errors():
                problem(f"{str(item['loc'][0]).replace('_', ' ').capitalize()}: {item['msg']}")
            return
        if isinstance(request, RegisterRequest):
            with problems_shown():
                follow(api().register(request))
        elif archive is None:
            problem("Choose a zip archive.")
        else:
            with problems_shown(), st.spinner("Sending the archive …"):
                follow(api().register_archive(request, archive.name, archive))


def follow(task: Task) -> None:
    st.query_params["registering"] = str(task.id)
    st.rerun()


def show_registration(task_id: int) -> None:
    """Progress with Cancel, the reason of a failure, or that it is done."""
    with problems_shown():
        task = api().task(task_id)
        if not task.status.final:
            left = f", {duration(task.eta_seconds)} left" if task.eta_seconds is not None else ""
            st.progress(task.progress, text=f"Registering: {task.stage or 'waits for a worker'}{left}")
            if st.button("Cancel", key="cancel-register", icon=":material/stop:"):
                api().cancel_task(task.id)
                st.rerun()
        elif task.status == Status.SUCCEEDED:
            del st.query_params["registering"]
            catalog.clear()
            flash("Registered: your images are among the data sets now.")
            st.rerun()
        else:
            st.error(escaped(task.error or "The registration was cancelled; nothing was kept."),
                     icon=":material/error:")


def registration_active() -> bool:
    task_id = query_int("registering")
    return task_id is not None and not api().task(task_id).status.final
