"""The form's request in the page's link, so that it survives a reload."""

import base64
import zlib

import streamlit as st

from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.frontend.launch_form.sweeps import form_plan
from densitylab.frontend.ui.address import replace_parameter

_NAME = "draft"  # of the parameter in the link
# Of the link's parameter: reverse proxies take requests with a line of at most 8 KiB (nginx and Apache by default), and
# a page's link that is longer could not be opened again
_LONGEST_TEXT = 7_000
_LONGEST_REQUEST = 100_000  # bytes of JSON


def save_draft(request: ExperimentRequest, original: ExperimentRequest) -> None:
    """Write the request into the browser's address where it differs from the one that the link fills the form with;
    call it once on a page."""
    text = "" if request == original else encoded(request)
    fits = len(text) <= _LONGEST_TEXT and len(_body(request)) <= _LONGEST_REQUEST
    replace_parameter(_NAME, text if fits else "")
    if not fits:
        st.warning(
            "This form is too long for the page's link: a reload or another page loses its changes. Shorter notes or "
            "shorter lists of values fit.",
            icon=":material/link_off:",
        )


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
    return base64.urlsafe_b64encode(zlib.compress(_body(request), 9)).decode()


def _body(request: ExperimentRequest) -> bytes:
    return request.model_dump_json(exclude_defaults=True).encode()
