"""`densitylab token`."""

import argparse
import sys
from collections.abc import Sequence

from densitylab.backend.shared.contracts import TokenRequest
from densitylab.frontend.client import ApiClient
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.outcome import DONE
from densitylab.frontend.command_line.parser import Parser
from densitylab.frontend.command_line.plain_text import aligned


def main(arguments: Sequence[str]) -> int:
    common = client_command.url_option()
    parser = Parser(
        prog="densitylab token",
        description="Create, list and revoke API tokens. Needs the administrator's own, DENSITYLAB_API_TOKEN.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", parents=[common], help="print a new token, which is shown only once")
    create.add_argument("name", metavar="NAME", help="the person or tool that will use it; each name once")
    create.add_argument("--read-only", action="store_true", help="the token allows reading only")
    create.set_defaults(act=create_token)
    actions.add_parser("list", parents=[common], help="list all tokens, without secrets").set_defaults(act=list_tokens)
    revoke = actions.add_parser("revoke", parents=[common], help="revoke a token at once")
    revoke.add_argument("token", type=int, metavar="NUMBER", help="number in `densitylab token list`")
    revoke.set_defaults(act=revoke_token)
    given = parser.parse_args(arguments)
    return client_command.run(given.act, given)


def create_token(client: ApiClient, given: argparse.Namespace) -> int:
    answer = client.create_token(TokenRequest(name=given.name, read_only=given.read_only))
    print(f"Token {answer.id} of {answer.name}, {_rights(answer.read_only)}. It is shown only once:", file=sys.stderr)
    print(answer.token)
    return DONE


def list_tokens(client: ApiClient, given: argparse.Namespace) -> int:
    rows = [["number", "name", "rights", "created", "revoked"]]
    rows += [
        [
            str(item.id),
            item.name,
            _rights(item.read_only),
            f"{item.created_at:%Y-%m-%d}",
            f"{item.revoked_at:%Y-%m-%d}" if item.revoked_at else "",
        ]
        for item in client.tokens()
    ]
    print(aligned(rows, left=(1, 2, 3, 4)))
    return DONE


def revoke_token(client: ApiClient, given: argparse.Namespace) -> int:
    answer = client.revoke_token(given.token)
    print(f"Token {answer.id} of {answer.name} is revoked.")
    return DONE


def _rights(read_only: bool) -> str:
    return "read-only" if read_only else "full"
