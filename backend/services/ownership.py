"""The changes that a caller may make: with DENSITYLAB_SHARED_RUNS everything, otherwise what its own token made."""

from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.errors import DomainError
from densitylab.backend.shared.store.owners import Owners


class NotOwner(DomainError):
    """A change of what another token made."""

    status = 403

    def __init__(self, caller: Caller, what: str) -> None:
        super().__init__(
            f"{what} belongs to somebody else, and the token {caller.name!r} may only change what it made itself "
            "(DENSITYLAB_SHARED_RUNS is off)"
        )


def require_owner(caller: Caller, owners: Owners, what: str) -> None:
    """Raise NotOwner if the caller may not change what these own; `what` names it. No owner: it does not exist."""
    if not caller.changes_all and owners - {caller.token}:
        raise NotOwner(caller, what)
