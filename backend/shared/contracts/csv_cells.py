"""Cells of the CSV files that API, page and command line write."""

import unicodedata
from typing import Any


def csv_cell(value: Any) -> Any:
    """Return the value as it is written to a CSV file.

    Spreadsheets compute a text that begins with =, +, - or @, also after spaces or in full width. Such a text gets an
    apostrophe in front, by which spreadsheets know a text; numbers stay as they are.
    """
    if not isinstance(value, str):
        return value
    begin = unicodedata.normalize("NFKC", value).lstrip(" \t\r\n\ufeff\u200b")[:1]
    if value[:1] not in ("\t", "\r", "\n") and begin not in ("=", "+", "-", "@"):
        return value
    return value if _is_number(value) else f"'{value}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
