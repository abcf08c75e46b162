"""The page of all commands: what `densitylab COMMAND --help` prints."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from unittest.mock import patch

from densitylab import cli

_SUBCOMMANDS = re.compile(r"^  ACTION\n((?:    .+\n)+)", re.MULTILINE)


def page() -> str:
    """Return the page in Markdown."""
    lines = ["# Command line\n", _block([])]
    for name, command in cli.COMMANDS.items():
        lines += [f"## {name}\n", f"{command.help[0].upper()}{command.help[1:]}.\n", *_blocks([name])]
    return "\n".join(lines)


def _blocks(words: list[str]) -> Iterator[str]:
    """Yield the help of a command and of its subcommands."""
    help = _block(words)
    yield help
    found = _SUBCOMMANDS.search(help)
    for name in re.findall(r"^    (\w+)", found[1], re.MULTILINE) if found else ():
        yield from _blocks([*words, name])


def _block(words: list[str]) -> str:
    return f"```text\n$ {' '.join(['densitylab', *words, '--help'])}\n{_help(words)}```\n"


def _help(words: list[str]) -> str:
    printed = io.StringIO()
    environment = {"COLUMNS": "100", "NO_COLOR": "1"}
    with patch.dict(os.environ, environment), redirect_stdout(printed), suppress(SystemExit):
        cli.main([*words, "--help"])
    return printed.getvalue()
