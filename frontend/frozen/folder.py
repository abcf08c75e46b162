"""A frozen page as a folder or as one archive."""

import io
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from plotly.offline import get_plotlyjs

from densitylab.frontend.assets import read_asset

Files = dict[str, bytes]  # by path in the folder


def shared_files() -> Files:
    """Return the style sheet and the scripts, which all pages of the folder load."""
    return {
        "style.css": read_asset("frozen/frozen.css").encode(),
        "charts.js": read_asset("frozen/charts.js").encode(),
        "plotly.min.js": get_plotlyjs().encode(),
    }


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files into a new or empty folder: all of them, or none where one cannot be written."""
    existed = folder.exists()
    try:
        for path, content in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        if existed:
            folder.mkdir(exist_ok=True)
        raise


def archive(files: Mapping[str, bytes], name: str) -> bytes:
    """Return a zip archive that unpacks to a folder of this name."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, file in files.items():
            packed.writestr(f"{name}/{path}", file)
    return content.getvalue()
