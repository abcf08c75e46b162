"""Names of files."""

import re
import unicodedata


def file_key(*parts: str) -> str:
    """Return a name of ASCII letters, digits and hyphens; λ becomes lambda."""
    text = unicodedata.normalize("NFKD", "-".join(parts).replace("λ", "lambda")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
