"""Errors of the import of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from densitylab.worker.importing.misfits import Misfits


class BadModelFile(ValueError):
    """A file that is no model, or does not fit; the message says what it is and what to do."""


class UnfitFile(BadModelFile):
    """The weights of a file do not fit the network; `misfits` has them one by one."""

    def __init__(self, message: str, misfits: Misfits) -> None:
        super().__init__(message)
        self.misfits = misfits
