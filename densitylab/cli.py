"""`densitylab`: one command line for everything. A command imports its code, and what that needs, when it is used."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from densitylab.backend.shared.suggestion import did_you_mean
from densitylab.backend.shared.terminal import replace_unencodable
from densitylab.extras import MissingExtra, required

_EPILOG = """\
`densitylab COMMAND --help` explains a command. The commands from demo to token talk to a running system: at --url, else
at DENSITYLAB_API_URL, else at http://127.0.0.1:8000, with the token in DENSITYLAB_API_TOKEN. All other settings are
environment variables too.

exit codes: 0 done; 1 the API refuses or does not answer; 2 wrong arguments or a wrong spec, each field named; 3 a run
that was waited for failed or was cancelled; 4 `wait --timeout` is over; 130 stopped by Ctrl-C. After 3, 4 and 130 the
other runs go on.
"""


@dataclass(frozen=True)
class Command:
    """A command: `main(arguments)` of its module returns an exit code, or a sentence that says why it failed."""

    help: str
    module: str
    extra: str
    """Installs the packages that the module imports."""


_CLIENT = "densitylab.frontend.command_line."


def _client(name: str, help: str, extra: str = "client") -> dict[str, Command]:
    return {name: Command(help, _CLIENT + name, extra)}


COMMANDS = {
    "up": Command("start everything on this machine; Ctrl-C stops it", "densitylab.backend.ops.launcher", "all"),
    **_client("demo", "launch the demo experiment and print its results", "frontend"),
    **_client("launch", "launch the experiment of a YAML or JSON file"),
    **_client("register", "preview images of your own and register them as a data set"),
    "import": Command("import a model that was trained elsewhere", f"{_CLIENT}import_model", "client"),
    **_client("study", "run a study, and print or write its report", "frontend"),
    **_client("runs", "list runs"),
    **_client("show", "show one run with its results"),
    **_client("wait", "wait until runs are trained and evaluated"),
    **_client("cancel", "stop runs; their checkpoints are kept"),
    **_client("export", "write an experiment to a file, or a run's model to a folder", "frontend"),
    **_client("freeze", "write an experiment or a study as a page that opens from disk", "frontend"),
    **_client("token", "create, list and revoke API tokens"),
    **_client("completion", "print the script with which bash, zsh or fish completes commands"),
    "worker": Command("start a worker: training, interactive or prepare", "densitylab.worker.main", "worker"),
    "migrate": Command("bring the database to the newest revision", "densitylab.backend.ops.migrate", "api"),
    "backup": Command("write the database and all files to one file", "densitylab.backend.ops.backup", "api"),
    "restore": Command("fill an empty system from a backup", "densitylab.backend.ops.restore", "api"),
}


def main(arguments: Sequence[str] | None = None) -> int | str | None:
    """Run a command. Return what `sys.exit` takes: an exit code, or a sentence for standard error."""
    if "_ARGCOMPLETE" in os.environ:
        return _complete()
    replace_unencodable()
    given = _parser().parse_args(_own_arguments() if arguments is None else arguments)
    if given.command not in COMMANDS:
        _parser().error(f"there is no command {given.command!r}{did_you_mean(given.command, COMMANDS)}")
    command = COMMANDS[given.command]
    try:
        with required(f"densitylab {given.command}", command.extra):
            outcome: int | str | None = importlib.import_module(command.module).main(given.arguments)
    except MissingExtra as error:
        return str(error)
    return outcome


def _complete() -> int:
    """Answer a shell that asks for completions: with the names of commands, or by the command that it has named.

    The commands that start services have no options to complete, and must not be started here.
    """
    line = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
    before = int(os.environ["_ARGCOMPLETE"])  # words that start the program
    _, *words = f"{line}.".split()[before - 1 :]
    if len(words) < 2:
        importlib.import_module("argcomplete").autocomplete(_parser())
    elif words[0] in COMMANDS and (module := COMMANDS[words[0]].module).startswith(_CLIENT):
        os.environ["_ARGCOMPLETE"] = str(before + 1)
        importlib.import_module(module).main([])
    return 0


def _own_arguments() -> list[str]:
    """Return the arguments of this process, in UTF-8 where Python has read them in another encoding."""
    return [os.fsencode(argument).decode(errors="surrogateescape") for argument in sys.argv[1:]]


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="densitylab",
        usage="densitylab [--help] [--version] COMMAND ...",
        description=f"commands:\n{listed}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"densitylab {metadata.version('densitylab')}")
    command = parser.add_argument("command", metavar="COMMAND", help=argparse.SUPPRESS)
    command.completer = lambda **_: list(COMMANDS)  # type: ignore[attr-defined]
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
