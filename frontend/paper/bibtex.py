"""BibTeX of the data, models and methods that runs used, and of the software."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from densitylab.backend.shared.contracts import Run
from densitylab.frontend.assets import read_asset
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.paper.citations import CITATIONS, METHOD

SOFTWARE = "densitylab"
_ENTRY = re.compile(r"^@\w+\{([^,]+),.*?^\}$", re.MULTILINE | re.DOTALL)
_KINDS = ("dataset", "model", "regularizer", "optimizer", "lr_schedule", "augmentation", "algorithm")


def bibtex(runs: Iterable[Run], catalog: Catalog) -> str:
    """Return the entries of what the runs used, without duplicates: the paper of the method, the software, and data,
    models and methods that have one."""
    runs = list(runs)
    known = entries()
    keys = dict.fromkeys([METHOD, *(key for _, cited in _cited(runs, catalog) for key in cited)])
    return "\n\n".join([*(known[key] for key in keys), _software(runs)]) + "\n"


def citations(runs: Iterable[Run], catalog: Catalog) -> list[tuple[str, tuple[str, ...]]]:
    """Return what the runs used, in words, with the keys of its BibTeX entries; what has none is left out."""
    return [("DensityLab", (SOFTWARE,)), *_cited(runs, catalog)]


def components(run: Run, catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Yield kind and key of all components of a run, those in parameters of others included."""
    spec = run.known_spec
    for kind in _KINDS:
        if spec.get(kind):
            yield from _with_parts(kind, spec[kind], catalog)
    for evaluation in run.evaluations:
        yield from _with_parts("evaluation", evaluation.model_dump(), catalog)


def entries() -> dict[str, str]:
    """Return the known entries by key."""
    return {match[1]: match[0] for match in _ENTRY.finditer(read_asset("paper/references.bib"))}


def _cited(runs: Iterable[Run], catalog: Catalog) -> Iterable[tuple[str, tuple[str, ...]]]:
    used = dict.fromkeys(component for run in runs for component in components(run, catalog))
    return {catalog.label(*component): CITATIONS[component] for component in used if component in CITATIONS}.items()


def _with_parts(kind: str, component: Mapping[str, Any], catalog: Catalog) -> Iterator[tuple[str, str]]:
    yield kind, component["key"]
    entry = catalog.entry(kind, component["key"])
    for param in entry.params if entry else ():
        part = component.get("params", {}).get(param.name)
        if param.kind and part:
            yield from _with_parts(param.kind, part, catalog)


def _software(runs: Iterable[Run]) -> str:
    """Return the entry of DensityLab, with the versions that trained the runs."""
    versions = sorted({str(run.provenance["version"]) for run in runs if run.provenance.get("version")})
    return "\n".join(
        [
            f"@misc{{{SOFTWARE},",
            "  author = {{The DensityLab authors}},",
            "  title = {{DensityLab}},",
            f"  note = {{Version {', '.join(versions or [version('densitylab')])}}}",
            "}",
        ]
    )
