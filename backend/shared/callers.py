"""The sender of a request, with its rights."""

from dataclasses import dataclass

from densitylab.backend.shared.contracts import LOCAL_NAME


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    Args:
        name: of the token.
        token: its number; None for the administrator, and for everyone where no token is required.
        read_only: whether it only reads.
        changes_all: whether it may change what others made; see DENSITYLAB_SHARED_RUNS.
    """

    name: str
    token: int | None = None
    read_only: bool = False
    changes_all: bool = True

    @property
    def administrator(self) -> bool:
        """Return whether it may manage tokens."""
        return self.token is None


LOCAL = Caller(LOCAL_NAME)  # if no token is required
ADMINISTRATOR = Caller("administrator")  # with DENSITYLAB_API_TOKEN
