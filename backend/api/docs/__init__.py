"""The API's documentation at /docs: Swagger UI, with every file from this server."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

_FOLDER = Path(__file__).parent
PROBLEMS = _FOLDER / "problems.md"
"""Explanations of the problem types."""
# Swagger UI sets styles in its elements, and draws icons that are in its style sheet
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def install(app: FastAPI) -> None:
    """Serve the page at /docs and its files below; their addresses in it are relative, so a path prefix is kept."""

    @app.get("/docs", include_in_schema=False)
    def documentation() -> FileResponse:
        return FileResponse(_FOLDER / "index.html", headers={"Content-Security-Policy": _POLICY})

    app.mount("/docs", StaticFiles(directory=_FOLDER / "files", packages=[("fastapi_offline", "static")]))
