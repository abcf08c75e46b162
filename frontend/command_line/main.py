"""`densitylab`: launches, watches, lists and exports from a terminal.

The API is at --url, else at DENSITYLAB_API_URL, else at http://127.0.0.1:8000. Its token is read from
DENSITYLAB_API_TOKEN alone: what stands in a command line is seen by everybody on the machine.

Exit codes: 0 done; 1 the API refuses or does not answer; 2 wrong arguments or a wrong spec, each field named; 3 a run
that was waited for failed or was cancelled; 4 the time of `wait --timeout` is over; 130 stopped by Ctrl-C. What was
launched goes on after 3, 4 and 130.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from frontend.client import ApiError, connect
from frontend.command_line import export, launch, runs, token
from frontend.command_line.outcome import FAILED, INTERRUPTED, TIMED_OUT, WRONG, WrongInput

_WRONG_REQUEST = (400, 413, 422)


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        with connect(given.url) as client:
            code: int = given.act(client, given)
        sys.stdout.flush()
        return code
    except ApiError as error:
        print(error, file=sys.stderr)
        lines = [f"{item.pointer}: {item.detail}" for item in error.errors]
        # What the sentence says already is not said twice
        print("".join(f"  {line}\n" for line in lines if line not in str(error)), end="", file=sys.stderr)
        return WRONG if error.status in _WRONG_REQUEST else FAILED
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            print(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        return WRONG
    except WrongInput as error:
        print(error, file=sys.stderr)
        return WRONG
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return TIMED_OUT
    except BrokenPipeError:  # whoever reads has enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="densitylab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="address of the API")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (launch, runs, export, token):
        module.add_commands(commands, common)
    return parser


if __name__ == "__main__":
    sys.exit(main())
