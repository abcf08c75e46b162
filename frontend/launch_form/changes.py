"""The differences between a copy and its original, in the form's words."""

from dataclasses import dataclass

from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.frontend.analysis.formatting import escaped, readable, title
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.launch_form.sweeps import changes, form_plan

_FIELDS = {"lambda_": "λ", "seed": "Seed", "dataset": "Data set", "lr_schedule": "Learning-rate schedule"}


@dataclass(frozen=True)
class Change:
    """A field of the form with its two values."""

    label: str
    old: str
    new: str


def readable_changes(before: ExperimentRequest, after: ExperimentRequest, catalog: Catalog) -> list[Change]:
    """Return the differences that affect the runs, in the order of the spec."""
    spec = form_plan(after).spec
    return [_readable(path, old, new, spec, catalog) for path, old, new in changes(before, after)]


def _readable(path: str, old: str, new: str, spec: dict[str, object], catalog: Catalog) -> Change:
    kind, *inside = path.split(".")
    label = _FIELDS.get(kind, readable(kind).capitalize())
    if inside == ["key"]:
        return Change(label, catalog.label(kind, old), catalog.label(kind, new))
    if inside[:1] == ["params"]:
        component = spec.get(kind)
        entry = catalog.entry(kind, component["key"]) if isinstance(component, dict) else None
        param = next((item for item in entry.params if item.name == inside[1]), None) if entry else None
        named = title(param).lower() if param else readable(inside[1])
        rest = [readable(part) for part in inside[2:] if part not in ("key", "params")]
        return Change(f"{label}: {' '.join([named, *rest])}", old, new)
    return Change(": ".join([label, *(" ".join(map(readable, inside)),)] if inside else [label]), old, new)


def changes_text(differences: list[Change]) -> str:
    """Return the differences as a list in Markdown."""
    lines = [f"- {escaped(item.label)}: ~~{escaped(item.old)}~~ → **{escaped(item.new)}**" for item in differences]
    return "\n".join(lines)
