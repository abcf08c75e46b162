"""Text and address of a page that Streamlit's driver has run."""

from typing import Any

from streamlit.testing.v1 import AppTest


def page_text(app: AppTest) -> str:
    """Everything that the page says, as one text."""
    assert not app.exception, app.exception[0].value
    parts = [*app.title, *app.header, *app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    return "\n".join(str(part.value) for part in parts)


def pictures(app: AppTest) -> str:
    """Return the HTML that the page draws."""
    return "\n".join(block.proto.body for block in app.get("html"))


def button(app: AppTest, label: str) -> Any:
    return next(item for item in app.button if item.label == label)


def linked(app: AppTest, name: str) -> str:
    """Return the value of a name in the page's address, which the driver has as a text or as a list of one."""
    value = app.query_params[name]
    return value if isinstance(value, str) else value[0]


def plain(text: str) -> str:
    """Return the text without the escapes of Markdown."""
    return text.replace("\\", "")
