"""Sentences about optional dependencies that are not installed."""

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtra(ImportError):
    """An optional dependency is not installed; `str()` is one sentence with the command that installs it."""


@contextmanager
def required(what: str, extra: str) -> Iterator[None]:
    """Turn the import error of a package that is not installed into MissingExtra.

    Args:
        what: is used, such as "connect".
        extra: that installs the package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "densitylab":
            raise
        raise MissingExtra(f"`{what}` needs the extra `{extra}`: pip install 'densitylab[{extra}]'") from error
