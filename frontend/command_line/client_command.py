"""The frame of the commands that talk to the API: its address, errors as sentences, exit codes.

The token is read from DENSITYLAB_API_TOKEN alone: everybody on the machine can read a command line.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from densitylab.backend.shared.contracts import FieldError, violations
from densitylab.frontend.client import ApiClient, ApiError, connect
from densitylab.frontend.command_line.outcome import FAILED, INTERRUPTED, TIMED_OUT, WRONG, WrongInput
from densitylab.frontend.command_line.parser import Parser

_WRONG_REQUEST = (400, 413, 422)
_INDEX = re.compile(r"/\d+$")


def url_option() -> Parser:
    """Return the parent parser with `--url`."""
    parent = Parser(add_help=False)
    parent.add_argument("--url", help="address of the API; default: DENSITYLAB_API_URL, or http://127.0.0.1:8000")
    return parent


def run(act: Callable[[ApiClient, argparse.Namespace], int], given: argparse.Namespace) -> int:
    """Connect, run the command and return its exit code; print errors as sentences."""
    try:
        with connect(given.url) as client:
            code = act(client, given)
        sys.stdout.flush()
        return code
    except ApiError as error:
        if not any(item.detail in str(error) for item in error.errors):
            print(error, file=sys.stderr)
        _print_fields(error.errors)
        return WRONG if error.status in _WRONG_REQUEST else FAILED
    except ValidationError as error:
        _print_fields(violations(error))
        return WRONG
    except WrongInput as error:
        print(error, file=sys.stderr)
        return WRONG
    except (UnicodeError, PydanticSerializationError):
        print("An argument or the file has a character that is not valid Unicode.", file=sys.stderr)
        return WRONG
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return TIMED_OUT
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _print_fields(errors: Sequence[FieldError]) -> None:
    """Print each error with its field, unless that is a part of the address, which the user has not written.

    Values of one list with the same error are printed once.
    """
    printed = set()
    for error in errors:
        same = (_INDEX.sub("", error.pointer), error.detail)
        if same not in printed:
            printed.add(same)
            field = "" if error.pointer.startswith("/path/") or not error.pointer else f"{error.pointer}: "
            print(f"{field}{error.detail}", file=sys.stderr)
