"""The list of weights that do not fit."""

import torch

from densitylab.worker.importing.fitting import best_fit
from densitylab.worker.importing.misfits import LISTED, Misfit, misfits
from densitylab.worker.importing.parts import Part

SHAPES = {"conv.weight": (4, 3, 3, 3), "block.weight": (2, 2), "fc.weight": (10, 4)}


def test_each_weight_that_does_not_fit_has_both_shapes_or_the_nearest_name():
    tensors = {"conv.weight": torch.ones(4, 1, 3, 3), "blocks.weight": torch.ones(2, 3), "fc.weight": torch.ones(10, 4)}
    found = misfits(best_fit([Part("", tensors)], SHAPES))
    assert found.total == 3
    assert found.items == [
        Misfit("wrong_shape", "conv.weight", (4, 1, 3, 3), (4, 3, 3, 3)),
        Misfit("missing", "block.weight", None, (2, 2), "blocks.weight", (2, 3)),
        Misfit("unexpected", "blocks.weight", (2, 3), None, "block.weight", (2, 2)),
    ]


def test_what_fits_has_none_and_long_lists_are_cut():
    fitting = {name: torch.ones(shape) for name, shape in SHAPES.items()}
    assert misfits(best_fit([Part("", fitting)], SHAPES)).total == 0
    more = fitting | {f"other.{index}": torch.ones(2) for index in range(LISTED + 7)}
    found = misfits(best_fit([Part("", more)], SHAPES))
    assert (found.total, len(found.items)) == (LISTED + 7, LISTED)
