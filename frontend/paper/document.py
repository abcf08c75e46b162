"""A LaTeX document with the tables, figures and claims of a paper, which compiles beside the files of its bundle."""

from collections.abc import Iterable, Sequence

from densitylab.frontend.analysis.formatting import as_sentence
from densitylab.frontend.paper.contents import Paper, PaperFigure
from densitylab.frontend.paper.escaping import escape
from densitylab.frontend.paper.figures import tradeoff, width

_PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[margin=1in]{geometry}
\usepackage{booktabs,graphicx}
\setlength{\emergencystretch}{3em}
"""


def document_latex(paper: Paper, citations: Iterable[tuple[str, Sequence[str]]]) -> str:
    r"""Return the document. It reads tables/KEY.tex, figures/KEY.pdf and references.bib.

    Args:
        paper: what is shown.
        citations: what is cited in words, and the keys of \cite.
    """
    parts = [
        rf"\title{{{escape(paper.title)}}}",
        r"\author{}",
        r"\date{}",
        r"\begin{document}",
        r"\maketitle",
        escape(paper.question),
        *_settings(paper),
        *_claims(paper),
        *(rf"\input{{tables/{table.key}}}" for table in paper.tables),
        *(_figure(figure) for figure in paper.figures),
        r"\clearpage",
        *_section("Notes", _items(map(escape, paper.notes))),
        *_section("Sources", _items(rf"{escape(words)} \cite{{{','.join(keys)}}}" for words, keys in citations)),
        r"\bibliographystyle{plain}",
        r"\bibliography{references}",
        r"\end{document}",
    ]
    return _PREAMBLE + "\n\n".join(part for part in parts if part) + "\n"


def figure_caption(figure: PaperFigure) -> str:
    """Return what the marks of a figure are."""
    points = [point for panel in figure.panels for line in panel.lines.values() for point in line]
    seeds = sorted({point.y.n for point in points})
    n = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    bars = ", bars their 95 % intervals" if any(point.y.half_width is not None for point in points) else ""
    lines = " Lines join the λ of a method in their order." if tradeoff(figure) else ""
    numbers = " Numbers at the marks: λ." if tradeoff(figure) else ""
    front = ""
    if any(point.dominated for point in points):
        front = (
            " Hollow marks are dominated: another one is at least as good in both results and better in one. The "
            "broad grey line joins the others, the Pareto front."
        )
    return f"{as_sentence(figure.title)} Marks are means over seeds (n = {n}){bars}.{lines}{numbers}{front}"


def _figure(figure: PaperFigure) -> str:
    return "\n".join(
        [
            r"\begin{figure}[ht]",
            r"  \centering",
            rf"  \includegraphics[width={width(figure):g}in]{{figures/{figure.key}}}",
            rf"  \caption{{{escape(figure_caption(figure))}}}",
            rf"  \label{{fig:{figure.key}}}",
            r"\end{figure}",
        ]
    )


def _settings(paper: Paper) -> list[str]:
    if not paper.settings:
        return []
    rows = [" & ".join(escape(part or "not stated") for part in row) + r" \\" for row in paper.settings]
    return [
        "\n".join(
            [
                r"\section*{Settings}",
                r"\noindent\begin{tabular}{@{}p{0.2\linewidth}p{0.42\linewidth}p{0.3\linewidth}@{}}",
                r"  \toprule",
                r"  setting & this study & the paper of the method \\",
                r"  \midrule",
                *(f"  {row}" for row in rows),
                r"  \bottomrule",
                r"\end{tabular}",
            ]
        )
    ]


def _claims(paper: Paper) -> list[str]:
    items = (
        rf"\textbf{{{escape(claim.verdict)}}}: {escape(claim.text)} ({escape(claim.about)}). {escape(claim.reason)}"
        for claim in paper.claims
    )
    return _section("Claims", _items(items))


def _section(title: str, content: str) -> list[str]:
    return [rf"\section*{{{title}}}", content] if content else []


def _items(texts: Iterable[str]) -> str:
    items = [rf"  \item {text}" for text in texts]
    return "\n".join([r"\begin{itemize}", *items, r"\end{itemize}"]) if items else ""
