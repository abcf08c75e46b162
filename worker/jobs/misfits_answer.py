"""The weights that do not fit, as the API answers them."""

from densitylab.backend.shared import contracts
from densitylab.worker.importing.misfits import Misfits, Shape

_NAME_CHARACTERS = 200


def misfits_answer(found: Misfits) -> contracts.Misfits:
    """Return the misfits of a file and a network in the contract's form, with names of at most 200 characters."""
    return contracts.Misfits(
        total=found.total,
        items=[
            contracts.Misfit(
                problem=item.problem,
                name=item.name[:_NAME_CHARACTERS],
                file_shape=_sizes(item.file_shape),
                network_shape=_sizes(item.network_shape),
                nearest=None if item.nearest is None else item.nearest[:_NAME_CHARACTERS],
                nearest_shape=_sizes(item.nearest_shape),
            )
            for item in found.items
        ],
    )


def _sizes(shape: Shape | None) -> list[int] | None:
    return None if shape is None else list(shape)
