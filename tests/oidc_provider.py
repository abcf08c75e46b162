"""An OpenID Connect provider for tests: a real HTTP server, which logs in at once whoever a test names."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.http_server import serving

CLIENT_ID, CLIENT_SECRET = "densitylab", "s3cret-of-the-client"


@dataclass
class Provider:
    """The provider's state; `user` has the claims of whoever logs in next."""

    callback: str
    address: str = ""
    user: dict[str, Any] = field(default_factory=dict)
    logouts: int = 0
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, parameters={"kid": "1"}))
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def metadata_url(self) -> str:
        return f"{self.address}/.well-known/openid-configuration"

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
            "end_session_endpoint": f"{self.address}/logout",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Return where the browser goes from here: back, with a code for the named user."""
        assert query["client_id"] == CLIENT_ID and query["redirect_uri"] == self.callback
        assert query["response_type"] == "code" and "openid" in query["scope"].split()
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = {"claims": self.user, "nonce": query["nonce"], "challenge": query["code_challenge"]}
        return f"{self.callback}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any]:
        """Exchange a code, once, for a signed ID token."""
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        assert authorization == f"Basic {expected}" and form["redirect_uri"] == self.callback
        given = self.codes.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == given["challenge"]
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": given["nonce"]}
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims | {"sub": "1"} | given["claims"], self.key)
        return {"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "expires_in": 300, "id_token": signed}

    def log_out(self, query: dict[str, str]) -> str:
        assert query["client_id"] == CLIENT_ID and query["post_logout_redirect_uri"] == self.callback
        self.logouts += 1
        return self.callback


@contextmanager
def providing(callback: str) -> Iterator[Provider]:
    """Serve a provider on a free port of this machine, with one client.

    Args:
        callback: the address to which it sends browsers back.
    """
    provider = Provider(callback)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path in ("/authorize", "/logout"):
                target = provider.authorize(query) if parts.path == "/authorize" else provider.log_out(query)
                self.send_response(302)
                self.send_header("Location", target)
                self.end_headers()
            else:
                answers = {
                    "/.well-known/openid-configuration": provider.metadata(),
                    "/keys": {"keys": [provider.key.as_dict(private=False)]},
                }
                self._answer(answers[parts.path])

        def do_POST(self) -> None:
            assert self.path == "/token"
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            form = {name: values[0] for name, values in body.items()}
            self._answer(provider.token(form, self.headers["Authorization"]))

        def _answer(self, content: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with serving(Handler) as provider.address:
        yield provider
