"""Everything behind a paper's tables and figures as one zip archive, which draws its figures again by itself."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from densitylab.backend.shared.contracts import Run
from densitylab.frontend.analysis.csv_table import to_csv
from densitylab.frontend.analysis.origins import lambda_of, seed_of
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.paper.bibtex import bibtex, citations
from densitylab.frontend.paper.contents import Paper, PaperTable
from densitylab.frontend.paper.document import document_latex
from densitylab.frontend.paper.figures import layout, line_colors, points, render
from densitylab.frontend.paper.latex import table_latex

SUMS = "SHA256SUMS"


def bundle(paper: Paper, catalog: Catalog) -> bytes:
    """Return the archive; equal contents give equal archives."""
    content = dict(files(paper, catalog))
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items())
    return _archive({**content, SUMS: sums.encode()})


def figure_archive(paper: Paper, form: Literal["pdf", "svg"]) -> bytes:
    """Return all figures in one format."""
    return _archive({f"{figure.key}.{form}": render(paper, figure, form) for figure in paper.figures})


def files(paper: Paper, catalog: Catalog) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file."""
    yield "paper.tex", document_latex(paper, citations(paper.runs, catalog)).encode()
    yield "references.bib", bibtex(paper.runs, catalog).encode()
    yield "draw.py", Path(__file__).with_name("draw.py").read_bytes()
    yield "runs.json", _json([_provenance(run) for run in paper.runs])
    yield "values-per-seed.csv", to_csv(per_seed(paper)).encode()
    for table in paper.tables:
        yield f"tables/{table.key}.tex", table_latex(table).encode()
        yield f"tables/{table.key}.csv", to_csv(numbers(table)).encode()
    colors = line_colors(paper)
    yield "figures/figures.json", _json({figure.key: layout(figure, colors) for figure in paper.figures})
    for figure in paper.figures:
        yield f"figures/{figure.key}.csv", points(figure).to_csv(index=False).encode()
        yield f"figures/{figure.key}.pdf", render(paper, figure, "pdf")
        yield f"figures/{figure.key}.svg", render(paper, figure, "svg")


def numbers(table: PaperTable) -> pd.DataFrame:
    """Return a row for each mean of a table, unrounded."""
    return pd.DataFrame(
        [
            {
                "method": row.method,
                "lambda": row.lambda_,
                "edge": row.edge,
                "runs": " ".join(map(str, row.runs)),
                "result": result,
                "label": label,
                "mean": cell.mean.mean if cell.mean else None,
                "low": cell.mean.low if cell.mean else None,
                "high": cell.mean.high if cell.mean else None,
                "n": cell.mean.n if cell.mean else None,
                "images": images,
                "best": cell.best,
            }
            for row in table.rows
            for cell, result, label, images in zip(row.cells, table.results, table.labels, table.images, strict=True)
        ],
        dtype=object,
    )


def per_seed(paper: Paper) -> pd.DataFrame:
    """Return a row for each run and result, and for the last value of each of its curves."""
    rows = []
    for run in paper.runs:
        own = {"run": run.id, "experiment": run.experiment, "seed": seed_of(run), "lambda": lambda_of(run)}
        for result, value in run.results.items():
            rows.append(own | {"result": result, **value.model_dump(include={"value", "low", "high", "n"})})
        for curve, last in run.metrics.items():
            rows.append(own | {"result": f"metrics.{curve}", "value": last})
    return pd.DataFrame(rows, dtype=object)


def _archive(content: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            member = zipfile.ZipInfo(name)  # without the time of writing
            member.external_attr = 0o644 << 16
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _provenance(run: Run) -> dict[str, Any]:
    """Return spec, hashes and versions of a run, without the host."""
    known = {name: value for name, value in run.provenance.items() if name != "host"}
    spec = run.known_spec
    return {"run": run.id, "experiment": run.experiment, "origin": run.origin.value, "provenance": known, "spec": spec}


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
