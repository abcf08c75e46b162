"""The title of Streamlit's document, which a browser shows until the script has set that of the page."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Of equal length, so that the headers stay right; the document is sent in one piece as far as its title
_STREAMLIT, _OWN = b"    <title>Streamlit</title>", b"   <title>DensityLab</title>"


class DocumentTitle:
    """ASGI middleware: give HTML documents, which are sent uncompressed, the title of this application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_document = False

        async def titled(message: Message) -> None:
            nonlocal is_document
            if message["type"] == "http.response.start":
                content_type = next((value for name, value in message["headers"] if name == b"content-type"), b"")
                is_document = content_type.startswith(b"text/html")
            elif is_document and message["type"] == "http.response.body":
                message["body"] = message.get("body", b"").replace(_STREAMLIT, _OWN)
            await send(message)

        if scope["type"] == "http" and "text/html" in Headers(scope=scope).get("accept", ""):
            headers = [item for item in scope["headers"] if item[0] != b"accept-encoding"]
            await self.app({**scope, "headers": headers}, receive, titled)
        else:
            await self.app(scope, receive, send)
