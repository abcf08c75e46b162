"""The user of a session of the page, with DENSITYLAB_LOGIN_FILE; without it nobody logs in."""

import streamlit as st

from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.client import ApiError
from densitylab.frontend.login_file import LoginRefused, User, login_file
from densitylab.frontend.ui.return_link import keep_link, open_kept_link

_UNAUTHORIZED = 401


def current_user() -> User | None:
    """Return the user of the session; None without a login file, where all sessions act with the page's token.

    Raises:
        ApiError: nobody has logged in, or who has may not use the page.
    """
    file = login_file()
    if file is None:
        return None
    if not st.user.get("is_logged_in"):
        raise ApiError(_UNAUTHORIZED, "Log in first.")
    try:
        return file.user(st.user.to_dict())
    except LoginRefused as refusal:
        raise ApiError(_UNAUTHORIZED, str(refusal)) from None


def is_admitted() -> bool:
    """Return whether the session may see the pages."""
    try:
        current_user()
    except ApiError:
        return False
    return True


def show_login() -> None:
    """Ask to log in, or say why who has logged in may not use the page."""
    st.title("DensityLab")
    if not st.user.get("is_logged_in"):
        st.button("Log in", type="primary", icon=":material/login:", on_click=st.login)
        keep_link()
        return
    try:
        current_user()
    except ApiError as refusal:
        st.error(escaped(str(refusal)), icon=":material/block:")
    _log_out_button()


def show_user() -> None:
    """Draw the user's name and "Log out" at the top of the page; nothing without a login file."""
    user = current_user()
    if user is not None:
        with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", key="page-user"):
            st.caption(f":material/person: {escaped(user.name)}", width="content", help=escaped(user.email))
            _log_out_button()
        open_kept_link()


def _log_out_button() -> None:
    st.button("Log out", type="tertiary", icon=":material/logout:", on_click=st.logout)
