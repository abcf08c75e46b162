"""Small images of two classes, as files and arrays, for tests of registrations."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from densitylab.backend.shared import images as decoder
from densitylab.worker.datasets import image_folder, image_source, npy_store
from densitylab.worker.datasets.own_images import ReadOptions


def png(seed: int = 0, size: tuple[int, int] = (16, 16)) -> bytes:
    """Return a colour image."""
    return encoded(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(folder: Path, contents: dict[str, bytes | str]) -> Path:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def birds(count: int = 24) -> list[dict[str, Any]]:
    """Return rows in the layout of Waterbirds: y and place are 0 or 1, a quarter of each split has y ≠ place."""
    rows = []
    for number in range(count):
        y = number % 2
        rows.append(
            {
                "img_id": number + 1,
                "img_filename": f"{number % 3}.Bird/{number}.png",
                "y": y,
                "split": (0, 0, 1, 2)[number // 2 % 4],
                "place": y if number // 8 % 3 else 1 - y,
                "place_filename": f"/p/{number}.jpg",
            }
        )
    return rows


def csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    lines = [delimiter.join(rows[0])] + [delimiter.join(map(str, row.values())) for row in rows]
    return "\n".join(lines) + "\n"


def bird_files(rows: list[dict[str, Any]]) -> dict[str, bytes | str]:
    return {row["img_filename"]: png(row["img_id"]) for row in rows}


def register(tmp_path: Path, source: Path, *, image_size: tuple[int, int] | None = None, **options: Any):
    """Register a folder or archive with these ReadOptions below `tmp_path / "out"`."""
    with image_source.opened(source, within=source, scratch=tmp_path) as tree:
        return image_folder.register(
            tmp_path / "out",
            tree,
            decoder,
            options=ReadOptions(**options),
            image_size=image_size,
            progress=lambda share: None,
            should_stop=lambda: False,
        )


def stored(tmp_path: Path) -> dict[str, tuple[int, ...]]:
    """Return label, group and attributes of each stored image by its content."""
    found = {}
    for split in npy_store.SPLITS:
        data = npy_store.load(tmp_path / "out", split)
        codes = [item.codes.tolist() for item in data.attributes.values()]
        for index, image in enumerate(data.images.numpy()):
            group = -1 if data.groups is None else int(data.groups[index])
            found[image.tobytes()] = (split, int(data.labels[index]), group, *(code[index] for code in codes))
    return found


def pixels_of(content: bytes) -> bytes:
    """Return an image's pixels as they are stored."""
    return np.moveaxis(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), -1, 0).tobytes()
