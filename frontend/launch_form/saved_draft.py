"""The form's request in the page's link, so that it survives a reload."""

import base64
import functools
import zlib
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.frontend.assets import read_asset
from densitylab.frontend.launch_form.sweeps import form_plan

_NAME = "draft"  # of the parameter in the link
_LONGEST_TEXT = 4_000  # of the link's parameter; a longer draft, such as one with long notes, is not kept
_LONGEST_REQUEST = 100_000  # bytes of JSON


@functools.cache
def _component() -> Any:
    return st.components.v2.component("densitylab_draft", js=read_asset("launch_form/saved_draft.js"))


def save_draft(request: ExperimentRequest, original: ExperimentRequest) -> None:
    """Write the request into the browser's address where it differs from the one that the link fills the form with;
    call it once on a page."""
    text = "" if request == original else encoded(request)
    data = {"name": _NAME, "value": text if len(text) <= _LONGEST_TEXT else ""}
    _component()(key="densitylab_draft", data=data, height=1)


def saved_draft() -> ExperimentRequest | None:
    """Return the request of the link; None where it has none that the form can draw."""
    text = st.query_params.get(_NAME)
    if text is None:
        return None
    try:
        unpacker = zlib.decompressobj()
        body = unpacker.decompress(base64.urlsafe_b64decode(text), _LONGEST_REQUEST)
        request = ExperimentRequest.model_validate_json(body)
        form_plan(request)
    except (zlib.error, ValueError):  # also what is not base64, or no request
        st.warning("The link has a draft that cannot be read; it is left out.", icon=":material/link_off:")
        return None
    return request


def encoded(request: ExperimentRequest) -> str:
    """Return the text from which `saved_draft` reads the request."""
    body = request.model_dump_json(exclude_defaults=True).encode()
    return base64.urlsafe_b64encode(zlib.compress(body, 9)).decode()
