"""Every page begins at its top: Streamlit leaves the window scrolled as far down as the page before was."""

import functools
from typing import Any

import streamlit as st

_JS = """
export default function(component) {
  const { data } = component;
  const before = window.densitylabPage;
  window.densitylabPage = data.page;
  if (before !== undefined && before !== data.page) {
    document.querySelector("[data-testid=stMain]")?.scrollTo(0, 0);
  }
}
"""


@functools.cache
def _component() -> Any:
    return st.components.v2.component("densitylab_page_top", js=_JS)


def begin_at_the_top(page: str) -> None:
    """Call once, before the page with this address is drawn."""
    _component()(key="densitylab_page_top", data={"page": page}, height=1)
