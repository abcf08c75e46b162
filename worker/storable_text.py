"""Texts from files and errors, as a database can store them."""


def storable(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters, cut with an ellipsis; control characters other than line breaks and
    tabs, and unpaired surrogates, are escaped."""
    shown = "".join(_escaped(character) for character in text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def is_plain(text: str) -> bool:
    """Return whether a text has neither control characters nor unpaired surrogates."""
    return all(_escaped(character) == character and character not in "\n\t" for character in text)


def _escaped(character: str) -> str:
    control = character < " " and character not in "\n\t"
    if control or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff":
        return character.encode("unicode_escape").decode()
    return character
