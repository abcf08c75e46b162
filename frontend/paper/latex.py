"""Tables as LaTeX (booktabs)."""

import re
from collections import Counter
from textwrap import wrap

from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.comparison import text
from densitylab.frontend.analysis.formatting import as_sentence, counted, decimals_of, fixed
from densitylab.frontend.paper.contents import Paper, PaperCell, PaperRow, PaperTable
from densitylab.frontend.paper.escaping import escape, number

HEADER_WIDTH = 13  # characters of a line of a column's head
METHOD_WIDTH = 34
DAGGER = r"$^\dagger$"


def tables_latex(paper: Paper) -> str:
    r"""Return all tables as LaTeX, to \input into a document that uses the packages booktabs and graphicx."""
    return "% Needs \\usepackage{booktabs,graphicx}\n\n" + "\n".join(table_latex(table) for table in paper.tables)


def table_latex(table: PaperTable) -> str:
    """Return one table environment: means with n and ±, bold only where a mean is apart from all others."""
    head = ["method", r"$\lambda$", "$n$", *(_stacked(label, HEADER_WIDTH) for label in table.labels)]
    rows = [rf"    {' & '.join(row)} \\" for row in [head, *map(_row, table.rows)]]
    rows.insert(1, r"    \midrule")
    note = _edge_note(table)
    return "\n".join(
        [
            r"\begin{table}[ht]",
            r"  \centering",
            r"  \setlength{\belowcaptionskip}{5pt}",
            rf"  \caption{{{escape(caption(table))}}}",
            rf"  \label{{tab:{table.key}}}",
            r"  \footnotesize",
            r"  \setlength{\tabcolsep}{3.5pt}",
            r"  \renewcommand{\arraystretch}{1.25}",
            r"  % Shrinks to the width of the text, if it is wider",
            r"  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"  \begin{{tabular}}{{lrr{'l' * len(table.labels)}}}",
            r"    \toprule",
            *rows,
            r"    \bottomrule",
            r"  \end{tabular}}",
            *([rf"  \par\smallskip {DAGGER} {note}"] if note else []),
            r"\end{table}",
            "",
        ]
    )


def caption(table: PaperTable) -> str:
    """Return what the numbers of a table are: intervals, seeds, images, bold type, and how λ was selected."""
    means = [cell.mean for row in table.rows for cell in row.cells if cell.mean]
    parts = [as_sentence(table.title)]
    if any(mean.n > 1 for mean in means):
        parts.append(
            "Mean ± half-width of the 95 % interval over n seeds (Student t; of proportions it covers Wilson's)."
        )
    if any("^" in _parts(mean)[1] for mean in means):
        parts.append("Raised and lowered numbers: distances to the ends of an interval that is not symmetric.")
    if any(mean.n == 1 for mean in means):
        parts.append("One seed has no interval.")
    parts += _images(table)
    if any(cell.mean is None for row in table.rows for cell in row.cells):
        parts.append("Dashes: not measured, or no λ is within the budget of accuracy.")
    apart = "apart from all others (paired t tests by seed, Holm's correction over the table, 5 %)"
    bold = any(cell.best for row in table.rows for cell in row.cells)
    parts.append(f"Bold: best mean of its column, {apart}." if bold else f"No mean is bold: none is {apart}.")
    return " ".join([*parts, *table.notes])


def _stacked(words: str, characters: int) -> str:
    r"""Return the words in lines of about so many characters, so that the table stays narrow."""
    joined = re.sub(r" (?=\S$)", "\u00a0", words)  # no line has the arrow alone
    lines = [escape(line) for line in wrap(joined, characters, break_long_words=False, break_on_hyphens=False)]
    return lines[0] if len(lines) == 1 else "\\shortstack[l]{" + "\\\\".join(lines) + "}"


def _row(row: PaperRow) -> list[str]:
    lambda_ = "---" if row.lambda_ is None else number(f"{row.lambda_:g}") + (DAGGER if row.edge else "")
    n = str(row.seeds) if row.seeds else "---"
    method = _stacked(row.method, METHOD_WIDTH)
    return [method, lambda_, n, *(_cell(cell, row.seeds) for cell in row.cells)]


def _cell(cell: PaperCell, seeds: int) -> str:
    r"""Return "0.910 ± 0.012", or mean^{+up}_{-down} where the interval is not symmetric; only the mean is bold."""
    if cell.mean is None:
        return "---"
    mean, spread = _parts(cell.mean)
    words = (rf"\textbf{{{mean}}}" if cell.best else mean) + spread
    return words if cell.mean.n == seeds else f"{words} ($n={cell.mean.n}$)"


def _parts(mean: Estimate) -> tuple[str, str]:
    """Return the mean and its spread as LaTeX, both to the second digit of the smaller distance; distances that are
    equal in these digits as one."""
    if mean.symmetric or mean.low is None or mean.high is None:
        value, _, half = text(mean).partition(" ± ")
        return number(value), rf"\,$\pm$\,{half}" if half else ""
    up, down = mean.high - mean.mean, mean.mean - mean.low
    decimals = decimals_of(min(distance for distance in (up, down) if distance > 1e-9))
    value, above, below = number(fixed(mean.mean, decimals)), f"{up:.{decimals}f}", f"{down:.{decimals}f}"
    return value, rf"\,$\pm$\,{above}" if above == below else f"$^{{+{above}}}_{{-{below}}}$"


def _images(table: PaperTable) -> list[str]:
    """Return on how many test images the results were measured; those of a few columns in brackets."""
    counts = Counter(count for count in table.images if count)
    if not counts:
        return []
    usual = counts.most_common(1)[0][0]
    others: dict[int, list[str]] = {}
    for count, label in zip(table.images, table.labels, strict=True):
        if count and count != usual:
            others.setdefault(count, []).append(re.sub(" [↑↓]$", "", label))
    rest = "; ".join(f"{count:,} for {' and '.join(labels)}" for count, labels in others.items())
    return [f"Measured on {counted(usual, 'test image')}{f' ({rest})' if rest else ''}."]


def _edge_note(table: PaperTable) -> str:
    """Return which selected λ are ends of those tried, as LaTeX; "" where none is."""
    methods: dict[str, list[str]] = {}
    for row in table.rows:
        if row.edge:
            methods.setdefault(row.edge, []).append(row.method)
    if not methods:
        return ""
    if len(methods) == 1:
        (edge,) = methods
        which = "only one with results" if edge == "only" else f"{edge} of those tried"
        return escape(f"The λ is the {which}, so that one beyond may be better.")
    ends = "; ".join(f"{edge} for {' and '.join(names)}" for edge, names in methods.items())
    return escape(f"The λ is an end of those tried, so that one beyond may be better: {ends}.")
