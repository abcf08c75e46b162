"""`densitylab token`."""

import argparse
import sys
from typing import Any

from backend.shared.contracts import TokenRequest
from frontend.client import ApiClient
from frontend.command_line.outcome import DONE
from frontend.plain_text import aligned


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("token", help="give out, list and revoke tokens; needs a full one itself")
    actions = command.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", parents=[common], help="a new token, which is told this once")
    create.add_argument("name", help="of the person or the tool that will use it")
    create.add_argument("--read-only", action="store_true")
    create.set_defaults(act=create_token)
    actions.add_parser("list", parents=[common], help="every token, without its secret").set_defaults(act=list_tokens)
    revoke = actions.add_parser("revoke", parents=[common], help="nobody gets in with it from now on")
    revoke.add_argument("token", type=int, metavar="NUMBER", help="of `densitylab token list`")
    revoke.set_defaults(act=revoke_token)


def create_token(client: ApiClient, given: argparse.Namespace) -> int:
    answer = client.create_token(TokenRequest(name=given.name, read_only=given.read_only))
    print(f"Token {answer.id} of {answer.name}, {_rights(answer.read_only)}; only its hash is kept:", file=sys.stderr)
    print(answer.token)
    return DONE


def list_tokens(client: ApiClient, given: argparse.Namespace) -> int:
    rows = [["number", "name", "rights", "created", "revoked"]]
    rows += [[str(item.id), item.name, _rights(item.read_only), f"{item.created_at:%Y-%m-%d}",
              f"{item.revoked_at:%Y-%m-%d}" if item.revoked_at else ""] for item in client.tokens()]
    print(aligned(rows, left=(1, 2, 3, 4)))
    return DONE


def revoke_token(client: ApiClient, given: argparse.Namespace) -> int:
    answer = client.revoke_token(given.token)
    print(f"Token {answer.id} of {answer.name} is revoked.")
    return DONE


def _rights(read_only: bool) -> str:
    return "read-only" if read_only else "full"
