"""Numbers from the page's link."""

import streamlit as st

from densitylab.frontend.analysis.formatting import escaped

_LARGEST = 2**31 - 1  # an id of the database


def query_int(name: str) -> int | None:
    """Return the id under this name, None where the link has none; stop the page with an error where it is no id."""
    text = st.query_params.get(name)
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= _LARGEST:
        _stop(f"The link has {escaped(name)} = {escaped(text)}, which is not a valid id.")
    return int(text)


def query_ints(name: str) -> list[int]:
    """Return the comma-separated whole numbers under this name; stop the page with an error where they are none."""
    text = st.query_params.get(name, "")
    parts = [part for part in text.split(",") if part]
    if not all(part.isdecimal() and int(part) <= _LARGEST for part in parts):
        _stop(f"The link has {escaped(name)} = {escaped(text)}, which is not a list of whole numbers.")
    return list(dict.fromkeys(int(part) for part in parts))


def keep_address() -> None:
    """Write the link's parameters into the browser's address, which Streamlit leaves as it was where a page links to
    itself."""
    st.query_params.from_dict(st.query_params.to_dict())


def _stop(sentence: str) -> None:
    st.error(sentence, icon=":material/link_off:")
    st.stop()
