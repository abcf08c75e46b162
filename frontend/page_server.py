"""`python -m densitylab.frontend.page_server`: serve the page, which is Streamlit, and plotly.js beside it."""

import base64
import gzip
import hashlib
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
from pydantic import ValidationError
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from streamlit import config
from streamlit.starlette import App

from densitylab.backend.shared.asgi.path_prefix import PathPrefix
from densitylab.backend.shared.asgi.security_headers import SecurityHeaders
from densitylab.backend.shared.asgi.trusted_hosts import REFUSAL, TrustedHosts
from densitylab.backend.shared.settings import Settings, explain
from densitylab.frontend.document_title import DocumentTitle
from densitylab.frontend.login_file import LoginFileError, login_file
from densitylab.frontend.login_guard import LoginGuard
from densitylab.frontend.same_origin import SameOrigin
from densitylab.frontend.ui.live_chart import LIBRARY

_HEADERS = {"Content-Encoding": "gzip", "Cache-Control": "public, max-age=31536000, immutable"}


def main() -> str | None:
    """Serve until SIGTERM or SIGINT. Return an invalid setting as a sentence, which ends the process with status 1."""
    try:
        settings = Settings()
        if login_file() and not find_spec("authlib"):
            return 'DENSITYLAB_LOGIN_FILE needs a package: pip install "densitylab[login]"'
    except ValidationError as error:
        return explain(error)
    except LoginFileError as error:
        return str(error)
    # A path of Streamlit's own, from a file of the user, would be a second one
    options = {"server.address": settings.ui_host, "server.port": settings.ui_port, "server.baseUrlPath": ""}
    if settings.public_url:  # else Streamlit asks another server for its public address when it first sees an origin
        options["browser.serverAddress"] = urlsplit(settings.public_url).hostname
    create_app(settings).run(config=options)
    return None


def create_app(settings: Settings) -> App:
    """Return the page as an ASGI application."""
    file = login_file()
    return App(
        Path(__file__).with_name("streamlit_app.py"),
        routes=[Route(f"/{LIBRARY}", _library), Route("/favicon.png", _icon)],
        on_script_error=show_unexpected,
        secrets=file.streamlit_secrets(settings.page_url) if file else None,
        lifespan=_below_prefix(settings.path_prefix) if file else None,
        # The first gets a request first
        middleware=[
            Middleware(SecurityHeaders, policy=_policy()),
            Middleware(TrustedHosts, allowed=settings.trusted_hosts, refusal=PlainTextResponse(REFUSAL, 400)),
            Middleware(SameOrigin, public_url=settings.public_url),
            Middleware(PathPrefix, prefix=settings.path_prefix),
            Middleware(DocumentTitle),
            *([Middleware(LoginGuard, file=file)] if file else []),
        ],
    )


def _below_prefix(prefix: str) -> Callable[[App], AbstractAsyncContextManager[None]]:
    """Return a lifespan that tells Streamlit the path of the public address, for the addresses of login and logout.

    Streamlit has made its routes by then. They stay without the path, which `PathPrefix` removes.
    """

    @asynccontextmanager
    async def lifespan(_: App) -> AsyncIterator[None]:
        config.set_option("server.baseUrlPath", prefix)
        yield

    return lifespan


def show_unexpected(_: Exception) -> bool:
    """Show a sentence in place of the traceback, which is in the log, and of Streamlit's links to search engines."""
    st.error("An unexpected error; the log of the page has the details. Please report it.", icon=":material/error:")
    return True


def _icon(_: Request) -> Response:
    return FileResponse(Path(__file__).with_name("icon.png"))


def _library(_: Request) -> Response:
    return Response(_compressed(), media_type="text/javascript", headers=_HEADERS)


@cache
def _compressed() -> bytes:
    return gzip.compress(files("plotly").joinpath("package_data/plotly.min.js").read_bytes(), compresslevel=6)


def _policy() -> str:
    """Return the content security policy of the page.

    Streamlit's own document has an inline script, which is named by its hash. Its components are modules at `blob:`
    addresses, and set styles in elements. plotly.js compiles the code of parallel coordinates from strings.
    """
    document = files("streamlit").joinpath("static/index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", document, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    return "; ".join(
        [
            "default-src 'self'",
            " ".join(["script-src 'self' 'unsafe-eval' blob:", *(f"'sha256-{text}'" for text in hashes)]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
