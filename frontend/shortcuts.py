"""Keys that reach every page, listed under `?`."""

import functools
import json
from typing import Any

import streamlit as st

PAGES = {
    "h": ("", "Home"), "l": ("launch", "Launch"), "e": ("experiments", "Experiments"), "r": ("runs", "Runs"),
    "c": ("compare", "Compare"), "s": ("saliency", "Saliency"), "b": ("stability", "Stability"),
    "n": ("density", "Density"), "d": ("datasets", "Data"), "y": ("system", "System"),
}
KEYS = {
    "?": "this list", "/": "search or filter, where the page has a field for it", "p": "pause and go on refreshing",
    "Esc": "close what is open", "Tab, Shift + Tab": "to the next control, and back",
    "Enter, Space": "press what has the focus", "← ↑ ↓ →": "move in a table",
    **{f"g then {key}": title for key, (_, title) in PAGES.items()},
}

_JS = """
const PAGES = __PAGES__;
export default function(component) {
  const dialog = component.parentElement.querySelector("dialog");
  const opener = component.parentElement.querySelector(".densitylab-keys");
  const closer = dialog.querySelector("button");
  const show = () => { if (!dialog.open) dialog.showModal(); };
  const hide = () => dialog.close();
  let waiting = 0;  // when g was pressed
  const press = (event) => {
    const target = event.composedPath()[0];
    const typing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName || "");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    const after = event.timeStamp - waiting < 1500;
    waiting = 0;
    if (after && event.key in PAGES) {
      const link = [...document.querySelectorAll("a")].find(
        (item) => item.pathname && item.pathname.replace(/[/]$/, "").endsWith("/" + PAGES[event.key])
                  && item.closest("header, [data-testid=stSidebar]"));
      const home = document.querySelector("header a, [data-testid=stSidebar] a");
      const chosen = PAGES[event.key] ? link : home;
      if (chosen) { event.preventDefault(); chosen.click(); }
    } else if (event.key === "g") {
      waiting = event.timeStamp;
    } else if (event.key === "?") {
      event.preventDefault(); show();
    } else if (event.key === "/") {
      const field = [...document.querySelectorAll("input[type=text]")].find(
        (item) => /search/i.test(item.getAttribute("aria-label") || ""));
      if (field) { event.preventDefault(); field.focus(); }
    } else if (event.key === "p") {
      const pause = [...document.querySelectorAll("label")].find((item) => item.textContent.trim() === "Pause");
      if (pause) pause.click();
    }
  };
  opener.addEventListener("click", show);
  closer.addEventListener("click", hide);
  document.addEventListener("keydown", press);
  return () => {
    document.removeEventListener("keydown", press);
    opener.removeEventListener("click", show);
    closer.removeEventListener("click", hide);
  };
}
"""
_CSS = """
.densitylab-keys {
  position: fixed; right: 0.8rem; bottom: 0.8rem; z-index: 100; width: 2rem; height: 2rem; border-radius: 1rem;
  border: 1px solid var(--st-border-color); background: var(--st-secondary-background-color);
  color: var(--st-text-color); font: inherit; cursor: pointer;
}
.densitylab-shortcuts {
  border: 1px solid var(--st-border-color); border-radius: 0.5rem; padding: 1.2rem 1.6rem;
  background: var(--st-background-color); color: var(--st-text-color); font-family: var(--st-font);
}
.densitylab-shortcuts::backdrop { background: rgba(0, 0, 0, 0.4); }
.densitylab-shortcuts table { border-spacing: 0.9rem 0.25rem; margin-left: -0.9rem; }
.densitylab-shortcuts td:first-child { font-family: var(--st-code-font, monospace); white-space: nowrap; }
.densitylab-shortcuts button {
  border: 1px solid var(--st-border-color); border-radius: 0.3rem; padding: 0.3rem 0.9rem; margin-top: 0.8rem;
  background: var(--st-secondary-background-color); color: var(--st-text-color); font: inherit; cursor: pointer;
}
"""


@functools.cache
def _component() -> Any:
    rows = "".join(f"<tr><td>{key}</td><td>{does}</td></tr>" for key, does in KEYS.items())
    html = (
        '<button class="densitylab-keys" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)">?</button>'
        '<dialog class="densitylab-shortcuts" aria-label="Keyboard shortcuts"><strong>Keyboard shortcuts</strong>'
        f"<table><tbody>{rows}</tbody></table><button>Close</button></dialog>"
    )
    pages = json.dumps({key: path for key, (path, _) in PAGES.items()})
    return st.components.v2.component(
        "densitylab_shortcuts", html=html, css=_CSS, js=_JS.replace("__PAGES__", pages), isolate_styles=False,
    )


def listen_for_shortcuts() -> None:
    """Draws the `?` in the corner; call once on every page."""
    _component()(key="densitylab_shortcuts", height=1)
