"""Words that tell evaluations of one kind apart: the parameters in which they differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from densitylab.backend.shared.statistics.groups import flatten
from densitylab.frontend.analysis.formatting import readable
from densitylab.frontend.client.catalog import Catalog


def differing_params(
    params: Mapping[str, Any], others: Sequence[Mapping[str, Any]], evaluation: str, catalog: Catalog
) -> list[str]:
    """Return the parameters in which an evaluation differs from some of the others, in words: a chosen component by its
    label, any other one by its name and its value. Parameters of a component count only against evaluations that chose
    the same one, and a parameter without a value only where no other one differs.

    Args:
        params: of the evaluation.
        others: parameters of evaluations of the same kind.
        evaluation: its key.
        catalog: the API's.
    """
    own, rivals = flatten(params), [flatten(other) for other in others]
    entry = catalog.entry("evaluation", evaluation)
    kinds = {param.name: param.kind or "" for param in entry.params} if entry else {}
    words, unset = [], []
    for path, value in own.items():
        component, _, rest = path.partition(".")
        chosen = f"{component}.key" if rest and rest != "key" else path
        alike = [rival for rival in rivals if chosen == path or rival.get(chosen) == own.get(chosen)]
        if all(path in rival and rival[path] == value for rival in alike):
            continue
        name = readable(path.rpartition(".")[2])
        if value is None:
            unset.append(f"{name} not set")
        else:
            words.append(catalog.label(kinds.get(component, ""), str(value)) if rest == "key" else f"{name} {value}")
    return words or unset
