"""Tables, figures and sources for a paper, as files."""

from collections.abc import Callable

import streamlit as st

from densitylab.frontend.paper.bibtex import bibtex
from densitylab.frontend.paper.bundle import bundle, figure_archive
from densitylab.frontend.paper.contents import Paper
from densitylab.frontend.paper.latex import tables_latex
from densitylab.frontend.ui.api import catalog


def show_paper_downloads(name: str, make: Callable[[], Paper]) -> None:
    """Draw a row of files, folded; each is made when its button is pressed.

    Args:
        name: of the files.
        make: returns what they show.
    """

    known = catalog()  # files are made outside of the session, where Streamlit knows no user

    def button(label: str, ending: str, mime: str, make_file: Callable[[], str | bytes], help_text: str) -> None:
        st.download_button(
            label,
            make_file,
            f"{name}{ending}",
            mime,
            key=f"{name}{ending}",
            icon=":material/download:",
            on_click="ignore",
            help=help_text,
        )

    # Not a popover: it would stay open, in the corner of the page, while another tab hides its button
    folded = st.expander("For a paper", icon=":material/article:")
    with folded, st.container(horizontal=True):
        button(
            "Tables (LaTeX)",
            ".tex",
            "application/x-tex",
            lambda: tables_latex(make()),
            "booktabs tables with n and ±; bold only where a mean is apart from all others",
        )
        size = "At the width of a column or a page, with text of 8 points; readable in grey"
        button("Figures (PDF)", "-pdf.zip", "application/zip", lambda: figure_archive(make(), "pdf"), size)
        button("Figures (SVG)", "-svg.zip", "application/zip", lambda: figure_archive(make(), "svg"), size)
        button(
            "Sources (BibTeX)",
            ".bib",
            "application/x-bibtex",
            lambda: bibtex(make().runs, known),
            "Entries of the data, models and methods that the runs used",
        )
        button(
            "Everything (zip)",
            "-paper.zip",
            "application/zip",
            lambda: bundle(make(), known),
            "A document that compiles, tables, figures, values per seed, specs and hashes, and the script that draws "
            "the figures again",
        )
