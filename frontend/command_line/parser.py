"""The parser of the commands' arguments."""

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

import argcomplete

from densitylab.backend.shared.contracts import did_you_mean

_OPTION = re.compile(r"unrecognized arguments: (-[^ =]+)")
_CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """A parser that suggests the closest option or choice for one that there is not, and completes them in a shell."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        argcomplete.autocomplete(self)  # ends the process if a shell asks for completions
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        if match := _OPTION.search(message):
            message += did_you_mean(match[1], self._option_string_actions)
        elif match := _CHOICE.search(message):
            message += did_you_mean(match[1], re.findall(r"[\w-]+", match[2]))
        super().error(message)
