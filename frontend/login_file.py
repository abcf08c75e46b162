"""The file of DENSITYLAB_LOGIN_FILE: the identity provider of the page's users, and the API token of each."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

VARIABLE = "DENSITYLAB_LOGIN_FILE"
CALLBACK = "/oauth2callback"  # Streamlit's route to which the identity provider sends the browser back


class LoginFileError(ValueError):
    """The file cannot be used; the message names the field and contains no secret."""


class LoginRefused(Exception):
    """Raised for somebody who may not use the page; the message says why."""


@dataclass(frozen=True)
class User:
    """A user of the page, who acts with a token of their own."""

    email: str
    name: str
    token: str = field(repr=False)


def _read_secret(value: object) -> str:
    """Return the text, or the value of the environment variable that `{env = "NAME"}` names."""
    if isinstance(value, dict) and list(value) == ["env"] and isinstance(value["env"], str):
        text = os.environ.get(value["env"], "")
        source = f"the environment variable {value['env']}"
    elif isinstance(value, str):
        text, source = value, "the value"
    else:
        raise ValueError('expected a text, or {env = "NAME"} with the name of an environment variable')
    if not text:
        raise ValueError(f"{source} is empty or not set")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(f"{source} has a space, or another character that is not printable ASCII")
    return text


def _encrypted(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
        raise ValueError("expected an address that begins with https://")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _lowered(address: str) -> str:
    """Return the address with its letters from A to Z in lower case; other letters may be somebody else's, such as the
    Kelvin sign, whose lower case is k."""
    return address.strip().translate(str.maketrans(ascii_uppercase, ascii_lowercase))


def _normalized(users: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """Return the tokens by address in lower case."""
    result: dict[str, SecretStr] = {}
    owners: dict[str, str] = {}
    for number, (address, token) in enumerate(users.items(), start=1):
        email = _lowered(address)
        if "@" not in email.strip("@"):  # it may be a token that stands on the wrong side
            raise ValueError(f"the name of entry {number} is not an e-mail address")
        if email in result:
            raise ValueError(f"{email} is named twice")
        if (other := owners.setdefault(token.get_secret_value(), email)) != email:
            raise ValueError(f"{other} and {email} have the same token: give each user their own")
        result[email] = token
    return result


Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]


class Provider(BaseModel):
    """The client's registration at the identity provider, and the key that signs the page's cookies."""

    model_config = ConfigDict(extra="forbid", strict=True)

    server_metadata_url: Annotated[str, AfterValidator(_encrypted)]
    client_id: str = Field(min_length=1)
    client_secret: Secret
    cookie_secret: Annotated[Secret, Field(min_length=32)]


class LoginFile(BaseModel):
    """The parsed file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    auth: Provider
    users: Annotated[dict[str, Secret], Field(min_length=1), AfterValidator(_normalized)]

    def user(self, claims: Mapping[str, Any]) -> User:
        """Return the user whom the identity provider describes with these claims.

        Raises:
            LoginRefused: the address is missing, not verified or not in the file.
        """
        email = claims.get("email")
        if not isinstance(email, str) or not email:
            raise LoginRefused("The identity provider sent no e-mail address, so nobody knows who you are.")
        if claims.get("email_verified") not in (True, "true"):
            raise LoginRefused(f"The identity provider has not verified the address {email}: verify it there first.")
        token = self.users.get(_lowered(email))
        if token is None:
            raise LoginRefused(f"{email} has no access to this DensityLab. Its operator can add the address.")
        return User(_lowered(email), str(claims.get("name") or email), token.get_secret_value())

    def streamlit_secrets(self, address: str) -> dict[str, Any]:
        """Return what `st.login` reads.

        Args:
            address: of the page, as browsers see it.
        """
        return {
            "auth": {
                "redirect_uri": f"{address}{CALLBACK}",
                "server_metadata_url": self.auth.server_metadata_url,
                "client_id": self.auth.client_id,
                "client_secret": self.auth.client_secret.get_secret_value(),
                "cookie_secret": self.auth.cookie_secret.get_secret_value(),
            }
        }


@cache
def login_file() -> LoginFile | None:
    """Return the file as it was when the page started; None without the setting.

    Raises:
        LoginFileError: the file cannot be read, or a field is wrong.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    path = Path(os.path.expanduser(name))
    try:
        return LoginFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise LoginFileError(f"{VARIABLE}: {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise LoginFileError(f"{VARIABLE}: {path}: {_explain(error)}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise LoginFileError(f"{VARIABLE}: {path} is not a TOML file: {error}") from None


def _explain(error: ValidationError) -> str:
    """Return one line that names every wrong field, without values: these may be secrets."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{_field(problem['loc'])}: {message[0].lower()}{message[1:]}")
    return "; ".join(lines)


def _field(location: tuple[int | str, ...]) -> str:
    """Return the name of a field; of a user only an address, since another name may be a token."""
    if len(location) > 1 and location[0] == "users" and "@" not in str(location[1]):
        return "users"
    return ".".join(map(str, location))
