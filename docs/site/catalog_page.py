"""The page of everything that a spec can name, with its parameters."""

from collections.abc import Iterator

from densitylab.backend.shared.catalog import Catalog, Entry, Param

TITLES = {
    "dataset": "Data sets",
    "model": "Models",
    "regularizer": "Regularizers",
    "schedule": "Schedules of λ",
    "optimizer": "Optimizers",
    "lr_schedule": "Schedules of the learning rate",
    "augmentation": "Augmentations",
    "algorithm": "Training algorithms",
    "attack": "Attacks",
    "attribution": "Attribution methods",
    "perturbation": "Perturbations",
    "evaluation": "Evaluations",
    "study": "Studies",
}


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join(_lines(Catalog.built_in()))


def _lines(catalog: Catalog) -> Iterator[str]:
    yield "# Catalog\n"
    yield "What a spec can name: each entry with its key, what it does, and its parameters. `GET /api/v1/catalog` lists"
    yield "the same, and the entries of [plug-ins](../plugins.md).\n"
    for kind in catalog.by_kind:
        yield f"## {TITLES[kind]}\n"
        for entry in catalog.all(kind):
            yield from _entry(entry)


def _entry(entry: Entry) -> Iterator[str]:
    yield f"### {entry.label} {{ #{entry.kind}-{entry.key.replace('_', '-')} }}\n"
    yield f"`{entry.key}`. {entry.summary}\n"
    if entry.package:
        yield f"Needs the package `{entry.package}` on the workers.\n"
    if entry.params:
        yield "| parameter | default | values | meaning |"
        yield "| --- | --- | --- | --- |"
        for param in entry.params:
            meaning = " ".join(f"{param.label}. {param.help}".split()) if param.help else param.label
            yield f"| `{param.name}` | {_value(param.default)} | {_values(param)} | {_cell(meaning)} |"
        yield ""


def _values(param: Param) -> str:
    if param.choices:
        numbers = "" if param.numbers_from is None else f", or a number from {param.numbers_from:g} on"
        return ", ".join(map(_value, param.choices)) + numbers
    low = "more than" if param.exclusive_minimum else "at least"
    bounds = [
        f"{words} {bound:,.10g}"
        for words, bound in ((low, param.minimum), ("at most", param.maximum))
        if bound is not None
    ]
    return " ".join([_TYPES[param.type], ", ".join(bounds)]).strip() + (", or null" if param.optional else "")


_TYPES = {
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "str": "text",
    "floats": "list of numbers",
    "component": "key and parameters",
    "run": "number of a run",
    "attributes": "list of attributes",
}


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return f"`{str(value).lower() if value is not None else 'null'}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{_cell(str(value))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
