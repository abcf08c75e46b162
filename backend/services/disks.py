"""The disks that the API's machine writes to, and sentences about those that are full or nearly full."""

import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from densitylab.backend.shared.disk_room import has_room
from densitylab.backend.shared.settings import Settings

LOW_BYTES = 2**30


def problems(settings: Settings) -> list[str]:
    """Return a sentence for each full or nearly full disk, which names what it is for."""
    places: dict[int, dict[str, Path]] = {}
    for name, folder in _places(settings).items():
        folder = _existing(folder)
        places.setdefault(folder.stat().st_dev, {})[name] = folder
    sentences = []
    for folders in places.values():
        name = f"The disk of the {_listed(list(folders))}"
        free = shutil.disk_usage(next(iter(folders.values()))).free
        if not all(map(has_room, folders.values())):
            sentences.append(f"{name} is full: what must be stored there waits, or is refused, until there is room.")
        elif free < LOW_BYTES:
            sentences.append(f"{name} has {free / 2**20:.0f} MiB free.")
    return sentences


def free_bytes(settings: Settings) -> dict[str, int]:
    """Return the free bytes of the disk of each folder, by what the folder is for."""
    return {name: shutil.disk_usage(_existing(folder)).free for name, folder in _places(settings).items()}


def _places(settings: Settings) -> dict[str, Path]:
    """Return the folders by name; those of other machines are left out."""
    places = {"state folder": settings.home}
    kind, separator, database = settings.database_url.partition(":///")
    if kind == "sqlite" and separator and not database.startswith("file:"):
        places["database"] = Path(database).parent
    if "://" not in settings.artifacts_url:
        places["artifact store"] = Path(settings.artifacts_url)
    elif urlsplit(settings.artifacts_url).scheme == "file":
        places["artifact store"] = Path(urlsplit(settings.artifacts_url).path)
    return places | {"data folder": settings.data_dir, "temporary folder": Path(tempfile.gettempdir())}


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
