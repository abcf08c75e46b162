"""Names in error messages."""


def printable(text: str) -> str:
    """Return a name fit for an error: at most 80 characters, without what UTF-8 or a database cannot hold."""
    return text[:80].encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")
