"""`densitylab completion`."""

from collections.abc import Sequence

import argcomplete

from densitylab.frontend.command_line.outcome import DONE
from densitylab.frontend.command_line.parser import Parser

_EPILOG = """\
bash: eval "$(densitylab completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc, after compinit;
fish: densitylab completion fish > ~/.config/fish/completions/densitylab.fish
"""


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab completion",
        description="Print the script with which a shell completes commands, options and their values.",
        epilog=_EPILOG,
    )
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])
    given = parser.parse_args(arguments)
    print(argcomplete.shellcode(["densitylab"], shell=given.shell))
    return DONE
