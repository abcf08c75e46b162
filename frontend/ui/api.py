"""The API client of the pages, the catalog, and errors of the API as sentences."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import streamlit as st
from pydantic import ValidationError

from densitylab.backend.shared.contracts import violations
from densitylab.frontend.analysis.formatting import as_sentence, escaped
from densitylab.frontend.client import ApiClient, ApiError, connect
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.field_errors import FieldErrors, named
from densitylab.frontend.ui.login import current_user

Answer = TypeVar("Answer")

REFRESH_SECONDS = 1.0  # of a live part
_UNPROCESSABLE = 422
_KEPT_ANSWERS = 32  # pages of listings, of at most 200 runs
_PATIENCE = 0.5  # seconds: a page reports soon that the API is away, and asks again at its next refresh


def api() -> ApiClient:
    """Return the client of the session's user; without a login all sessions share one, with the page's token."""
    user = current_user()
    return _client(user.token if user else None)


def caller() -> str:
    """Return who asks the API, as part of the keys of caches that have its answers; "" without a login."""
    user = current_user()
    return user.email if user else ""


def catalog() -> Catalog:
    """Return the API's catalog, at most a minute old."""
    return _catalog(caller())


def forget_catalog() -> None:
    """Let the next use of the catalog ask the API."""
    _catalog.clear()


@st.cache_resource
def _client(token: str | None) -> ApiClient:
    return connect(token=token, patience=_PATIENCE, kept_answers=_KEPT_ANSWERS)


# A resource and not data: data would be copied for every run that a table names
@st.cache_resource(ttl=60, show_spinner=False)
def _catalog(caller: str) -> Catalog:
    return api().catalog()


def find(get: Callable[[int], Answer], number: int) -> Answer | None:
    """Return what `get` requests by this number; None where there is none."""
    try:
        return get(number)
    except ApiError as error:
        if error.status not in (404, 422):
            raise
        return None


@contextmanager
def show_api_errors(fields: FieldErrors | None = None, *, retrying: bool = False) -> Iterator[None]:
    """Show a refused, failed or unanswered request as sentences, and continue after the block.

    Every request of the page is sent within such a block, or within one of `ui.entry_points`.

    Args:
        fields: of the form that makes the request; a wrong field is shown beside its input.
        retrying: whether the same request is repeated in a moment.
    """
    try:
        yield
    except (ApiError, ValidationError) as error:
        show_problem(error, fields)
        if retrying:
            st.caption("Retrying every few seconds.")


def show_problem(error: ApiError | ValidationError, fields: FieldErrors | None = None) -> None:
    """Show the wrong fields, beside their inputs where `fields` has them, or else the error's sentence."""
    errors = violations(error) if isinstance(error, ValidationError) else error.errors
    if fields is None:
        fields = FieldErrors()
    fields.add(errors)
    left = [item for item in fields.left if item in errors]
    if errors and not left:
        st.caption(":red[Correct what is marked in red.]")
        return
    if isinstance(error, ValidationError) or error.status == _UNPROCESSABLE:
        lines = [named(item) for item in left] or [str(error)]
    else:
        lines = [as_sentence(str(error))] + [named(item) for item in left if item.detail not in str(error)]
    st.error("  \n".join(map(escaped, lines)), icon=":material/error:")
