"""Colours of groups: a regularizer has the same one in every comparison, paler for smaller λ and darker for larger."""

from collections.abc import Sequence
from typing import Protocol
from zlib import crc32

from densitylab.backend.shared.statistics.groups import Group
from densitylab.frontend.analysis.colors import NEUTRAL, PALETTE, lambda_shade, lighter
from densitylab.frontend.client.catalog import Catalog

_BASELINES = (0.0, 0.3, 0.5)  # share of the distance to white, of several baselines


class ColoredFamily(Protocol):
    """Groups that differ only in λ, with their colour."""

    @property
    def color(self) -> str: ...
    @property
    def groups(self) -> Sequence[Group]: ...


def family_colors(families: Sequence[Sequence[Group]], catalog: Catalog) -> list[str]:
    """Return the colour of each family: its regularizer's. Of several families with one regularizer the first has its
    colour, and the others have colours that no other family has, as far as there are enough."""
    keys = [str(groups[0].settings.get("regularizer.key")) for groups in families]
    own = [_regularizer_color(key, catalog) for key in keys]
    spare = [color for color in PALETTE if color not in own]
    colors, taken = [], 0
    for index, key in enumerate(keys):
        if key in keys[:index] and spare:
            colors.append(spare[taken % len(spare)])
            taken += 1
        else:
            colors.append(own[index])
    return colors


def group_colors(groups: Sequence[Group], families: Sequence[ColoredFamily]) -> dict[int, str]:
    """Return the colour of each group by its identity. A baseline is grey; where no group has a penalty, each group has
    a colour of its own."""
    colors = {
        id(group): lambda_shade(family.color, group.settings["lambda_"])
        if group.settings["lambda_"]
        else lighter(family.color, _BASELINES[-1])
        for family in families
        for group in family.groups
    }
    rest = [group for group in groups if id(group) not in colors or group.is_baseline]
    baselines = [group for group in rest if group.is_baseline] if families else []
    for index, group in enumerate(baselines):
        colors[id(group)] = lighter(NEUTRAL, _BASELINES[index % len(_BASELINES)])
    spare = [color for color in PALETTE if color not in {family.color for family in families}] or list(PALETTE)
    others = [group for group in rest if not families or not group.is_baseline]
    return colors | {id(group): spare[index % len(spare)] for index, group in enumerate(others)}


def _regularizer_color(key: str, catalog: Catalog) -> str:
    known = [entry.key for entry in catalog.entries("regularizer") if entry.penalises]
    index = known.index(key) if key in known else crc32(key.encode())
    return PALETTE[index % len(PALETTE)]
