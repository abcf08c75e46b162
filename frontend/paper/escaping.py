"""Text as LaTeX, for every engine: letters outside of Latin are mapped to mathematics."""

import unicodedata

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_GREEK = (
    "α:alpha β:beta γ:gamma δ:delta ε:varepsilon ζ:zeta η:eta θ:theta ι:iota κ:kappa λ:lambda μ:mu ν:nu ξ:xi π:pi "
    "ρ:rho σ:sigma τ:tau υ:upsilon φ:varphi χ:chi ψ:psi ω:omega Γ:Gamma Δ:Delta Θ:Theta Λ:Lambda Ξ:Xi Π:Pi Σ:Sigma "
    "Υ:Upsilon Φ:Phi Ψ:Psi Ω:Omega"
)
_MATHEMATICS = {
    **{pair[0]: f"\\{pair[2:]}" for pair in _GREEK.split()},
    "∂": r"\partial",
    "∇": r"\nabla",
    "∞": r"\infty",
    "±": r"\pm",
    "×": r"\times",
    "−": "-",
    "·": r"\cdot",
    "√": r"\surd",
    "∫": r"\int",
    "‖": r"\|",
    "≤": r"\leq",
    "≥": r"\geq",
    "≈": r"\approx",
    "≠": r"\neq",
    "∈": r"\in",
    "→": r"\rightarrow",
    "←": r"\leftarrow",
    "↑": r"\uparrow",
    "↓": r"\downarrow",
    "★": r"\star",
    "†": r"\dagger",
}
_LETTERS = "ßøØæÆœŒłŁ"  # Latin, without a decomposition
_PUNCTUATION = {"–": "--", "—": "---", "“": "``", "”": "''", "‘": "`", "’": "'", "…": r"\ldots{}", "\u00a0": "~"}


def escape(text: str) -> str:
    r"""Return the text as LaTeX: λ is `$\lambda$`, and no character is a command."""
    return "".join(map(_character, text))


def number(text: str) -> str:
    r"""Return a printed number as LaTeX: -1e-05 is `$-10^{-5}$`."""
    mantissa, _, exponent = text.partition("e")
    if exponent:
        factor = {"1": "", "-1": "-"}.get(mantissa, rf"{mantissa} \cdot ")
        return f"${factor}10^{{{int(exponent)}}}$"
    return f"$-${text[1:]}" if text.startswith("-") else escape(text)


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character in _MATHEMATICS:
        return f"${_MATHEMATICS[character]}$"
    if character in _PUNCTUATION:
        return _PUNCTUATION[character]
    if character.isascii():
        return character if character.isprintable() else " "
    decomposition = unicodedata.decomposition(character)
    for tag, mark in (("<super>", "^"), ("<sub>", "_")):
        if decomposition.startswith(tag):
            return f"${mark}{{{chr(int(decomposition.split()[1], 16))}}}$"
    if character in _LETTERS or unicodedata.normalize("NFD", character)[0].isascii():
        return character
    return f"[U+{ord(character):04X}]"
