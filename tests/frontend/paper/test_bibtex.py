"""Entries of BibTeX: of built-in keys alone, complete, and of what the runs used."""

import re

from densitylab.frontend.paper.bibtex import SOFTWARE, bibtex, citations, components, entries
from densitylab.frontend.paper.citations import CITATIONS


def test_every_citation_belongs_to_the_catalog_and_has_an_entry(catalog):
    assert [item for item in CITATIONS if catalog.entry(*item) is None] == []
    cited = {key for keys in CITATIONS.values() for key in keys}
    assert cited == set(entries())


def test_entries_have_author_title_and_year():
    for key, entry in entries().items():
        for field in ("author", "title", "year"):
            assert re.search(rf"^  {field} = \{{.+\}},?$", entry, re.MULTILINE), f"{key}: {field}"
        assert entry.count("{") == entry.count("}")
        assert entry.isascii()


def test_components_within_parameters_count(runs, catalog):
    used = set(components(runs[-1], catalog))
    assert {("dataset", "blockmnist"), ("regularizer", "jacobian"), ("attribution", "occlusion")} <= used


def test_runs_give_the_entries_of_what_they_used(runs, catalog):
    text = bibtex(runs, catalog)
    keys = re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE)
    assert keys[0] == "yang2024smoothing" and keys[-1] == SOFTWARE
    assert len(keys) == len(set(keys))
    assert {
        "shah2021gradients",
        "hoffman2019jacobian",
        "kingma2015adam",
        "madry2018pgd",
        "zeiler2014visualizing",
    } < set(keys)
    assert "zhang2019trades" not in keys
    assert "arXiv:2407.04370" in text and "Version 0.2.0" in text


def test_what_has_no_entry_is_left_out(runs, catalog):
    words = [label for label, _ in citations(runs, catalog)]
    assert "Jacobian regularization" in words
    assert "MLP" not in words and "None (baseline)" not in words
