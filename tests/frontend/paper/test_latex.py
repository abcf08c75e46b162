"""Tables as LaTeX: what is bold, what ± and n are, and that no text is a command."""

import re
from dataclasses import replace

import pytest

from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.paper.contents import PaperCell, PaperRow, PaperTable
from densitylab.frontend.paper.document import document_latex
from densitylab.frontend.paper.escaping import escape, number
from densitylab.frontend.paper.latex import caption, table_latex
from densitylab.frontend.paper.study import study_paper


def rows_of(latex: str) -> list[list[str]]:
    body = latex.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    return [line.strip().removesuffix(r"\\").strip().split(" & ") for line in body.strip().splitlines()]


def table(*cells: PaperCell, **changed: object) -> PaperTable:
    row = PaperRow("method", 0.1, None, [1, 2, 3], cells)
    labels = [f"result {index}" for index in range(len(cells))]
    return replace(PaperTable("t", "Title", labels, labels, [row], [100] * len(cells), []), **changed)


def test_a_study_table_is_bold_only_where_a_mean_is_apart(report, runs, catalog):
    latex = table_latex(study_paper(report, runs, catalog).tables[0])
    baseline, jacobian, smoothing = rows_of(latex)
    assert [row[0] for row in (baseline, jacobian, smoothing)] == [
        "None (baseline)",
        "Jacobian regularization",
        "Marginal-density smoothing",
    ]
    assert [row[2] for row in (baseline, jacobian, smoothing)] == ["3", "3", "3"]
    assert re.findall(r"\\textbf\{[^}]*\}", latex) == [r"\textbf{0.500}"]
    assert smoothing[4].startswith(r"\textbf{0.500}")
    assert latex.count(r"\toprule") == latex.count(r"\midrule") == latex.count(r"\bottomrule") == 1


def test_an_end_of_the_grid_has_a_dagger_and_its_note(report, runs, catalog):
    latex = table_latex(study_paper(report, runs, catalog).tables[0])
    assert [row[1] for row in rows_of(latex)] == ["0", r"1$^\dagger$", r"1$^\dagger$"]
    assert r"$^\dagger$ The $\lambda$ is the highest of those tried" in latex
    rows = [PaperRow(f"method {edge}", 1.0, edge, [1], []) for edge in ("lowest", "highest")]
    assert "better: lowest for method lowest; highest for method highest." in table_latex(table(rows=rows))
    assert "dagger" not in table_latex(table(PaperCell(None)))


def test_the_caption_says_what_the_numbers_are(report, runs, catalog):
    words = caption(study_paper(report, runs, catalog).tables[0])
    assert "Accuracy at the selected λ: MLP, ReLU." in words
    assert "95 % interval over n seeds" in words
    assert "1,000 test images (50 for Leakage, L2 norm (zero occlusion))" in words
    assert "Holm" in words and "The λ was selected on validation images." in words


def test_a_table_without_a_best_mean_says_so():
    words = caption(table(PaperCell(Estimate(0.5, 0.4, 0.6, 3))))
    assert "No mean is bold" in words
    assert "not symmetric" not in words


def test_cells_have_the_digits_of_their_intervals():
    cells = [
        PaperCell(Estimate(0.9104, 0.8984, 0.9224, 3)),
        PaperCell(Estimate(0.0, 0.0, 0.0026, 3)),
        PaperCell(Estimate(-1.25, -1.5, -1.0, 2), best=True),
        PaperCell(Estimate(12.5, None, None, 1)),
        PaperCell(Estimate(-0.0004, -0.12, 0.1192, 2)),
        PaperCell(Estimate(-0.0004, -0.12, 0.3, 2)),
        PaperCell(None),
    ]
    (row,) = rows_of(table_latex(table(*cells)))
    assert row[3:] == [
        r"0.910\,$\pm$\,0.012",
        r"0.0000$^{+0.0026}_{-0.0000}$",
        r"\textbf{$-$1.25}\,$\pm$\,0.25 ($n=2$)",
        r"12.5 ($n=1$)",
        r"0.00\,$\pm$\,0.12 ($n=2$)",
        r"0.00$^{+0.30}_{-0.12}$ ($n=2$)",
        "---",
    ]


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("λ", r"$\lambda$"),
        ("50 % & a_b #1 $x$ {y}", r"50 \% \& a\_b \#1 \$x\$ \{y\}"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a^b~c", r"a\textasciicircum{}b\textasciitilde{}c"),
        ("L∞, ‖∇ₓ log p‖₂²", r"L$\infty$, $\|$$\nabla$$_{x}$ log p$\|$$_{2}$$^{2}$"),
        ("Müller — Łódź", "Müller --- Łódź"),
        ("猫\x07\n", "[U+732B]  "),
    ],
)
def test_text_is_escaped(text: str, latex: str):
    assert escape(text) == latex


def test_numbers_have_a_minus_and_powers_of_ten():
    assert [number(text) for text in ("-0.5", "1e-05", "3e+06", "1000", "—")] == [
        "$-$0.5",
        "$10^{-5}$",
        r"$3 \cdot 10^{6}$",
        "1000",
        "---",
    ]


def test_every_text_of_the_catalog_can_be_typeset(catalog):
    texts = [
        text
        for entries in catalog.root.values()
        for entry in entries
        for text in (entry.label, *(metric.label for metric in entry.metrics), *(param.label for param in entry.params))
    ]
    assert len(texts) > 200
    assert [text for text in texts if "[U+" in escape(text)] == []


def test_the_document_shows_claims_settings_tables_and_figures(report, runs, catalog):
    latex = document_latex(study_paper(report, runs, catalog), [("DensityLab", ("densitylab",))])
    assert r"\title{Robustness \& $\lambda$\_50\%}" in latex
    assert r"\textbf{yes}: Smoothing is more robust than no penalty (MLP, ReLU)." in latex
    assert r"Difference of the result: +0.500 $\pm$ 0.010 (n = 3 seeds, p = 0.0012)." in latex
    assert r"$\lambda$ & selected & not stated \\" in latex
    assert r"\input{tables/accuracy-at-the-selected-lambda-mlp}" in latex
    assert r"\includegraphics[width=6.5in]{figures/accuracy-under-attack}" in latex
    assert r"DensityLab \cite{densitylab}" in latex
    assert "λ" not in latex


def test_distances_that_are_equal_in_their_digits_are_one():
    near, far = Estimate(0.5, 0.4001, 0.6002, 3), Estimate(0.5, 0.4001, 0.75, 3)
    alike = table(PaperCell(near))
    assert rows_of(table_latex(alike))[0][3] == r"0.500\,$\pm$\,0.100" and "Raised" not in caption(alike)
    apart = table(PaperCell(far))
    assert rows_of(table_latex(apart))[0][3] == "0.500$^{+0.250}_{-0.100}$" and "Raised" in caption(apart)
