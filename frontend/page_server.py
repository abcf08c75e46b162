"""The page's server: Streamlit, and beside it plotly.js under an address whose answer browsers keep."""

import gzip
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from streamlit.starlette import App

from frontend.live_chart import LIBRARY

_HEADERS = {"Content-Encoding": "gzip", "Cache-Control": "public, max-age=31536000, immutable"}


@cache
def _compressed() -> bytes:
    return gzip.compress(files("plotly").joinpath("package_data/plotly.min.js").read_bytes(), compresslevel=6)


def _library(_: Request) -> Response:
    return Response(_compressed(), media_type="text/javascript", headers=_HEADERS)


app = App("streamlit_app.py", routes=[Route(f"/{LIBRARY}", _library)])
