"""Output to terminals and files whose encoding is not UTF-8."""

import codecs
import io
import sys
import unicodedata

READABLE = "densitylab.readable"  # error handler of an encoding
_ASCII = {
    **{"λ": "lambda", "Δ": "Delta", "∇": "grad ", "ε": "epsilon", "γ": "gamma", "β": "beta", "μ": "mu", "Σ": "Sum"},
    **{"–": "-", "—": "-", "−": "-", "‐": "-", "…": "...", "·": "|", "•": "*", "“": '"', "”": '"', "‘": "'", "’": "'"},
    **{"±": "+/-", "≈": "~", "≤": "<=", "≥": ">=", "≠": "!=", "×": "x", "→": "->", "←": "<-", "‖": "||", "∞": "inf"},
    **{"✓": "v", "✕": "x", "★": "*", "⋆": "*", "⊘": "o", "◷": "o", "▶": ">", "█": "#", "°": "deg"},
}


def replace_unencodable() -> None:
    """Let standard output and standard error take any text: what their encoding lacks is written in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=READABLE)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_replacement, error.object[error.start : error.end])), error.end


def _replacement(character: str) -> str:
    if character in _ASCII:
        return _ASCII[character]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or character.encode("ascii", "backslashreplace").decode()


codecs.register_error(READABLE, _in_ascii)
