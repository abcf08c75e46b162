"""Images that people bring: fitted as said, and refused in a sentence, at once and without memory."""

import base64
import io
import resource
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend import uploads
from backend.reconciler import System, forget_old_uploads

UPLOADS = "/api/v1/uploads"


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def send(client: TestClient, content: bytes, dataset: str = "blockmnist") -> Any:
    return client.post(UPLOADS, params={"dataset": dataset}, content=content,
                       headers={"Content-Type": "application/octet-stream"})


def pixels(answer: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["image"].partition(",")[2]))))


def grey(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.full((height, width), 120, np.uint8))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width: int, height: int, depth: int = 8, color: int = 0) -> bytes:
    """A PNG whose header says so and whose data unpacks to 64 MB of zeros."""
    zeros = zlib.compress(bytes(64 * 2**20), 1)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_of_each_kind_is_fitted_and_kept(client: TestClient, kind: str, mode: str):
    answer = send(client, file_of(grey(200, 300).convert(mode), kind))
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert answer.headers["location"] == f"{UPLOADS}/{found['id']}"
    assert pixels(found).shape == (56, 28) and abs(int(pixels(found).mean()) - 120) <= 2
    assert found["original_size"] == [200, 300] and "cut around its centre" in found["fitted"]
    assert client.get(answer.headers["location"]).json() == found


def test_the_cut_is_around_the_centre(client: TestClient):
    content = np.zeros((56, 84), np.uint8)
    content[:, 28:56] = 255
    assert (pixels(send(client, file_of(Image.fromarray(content))).json()) == 255).all()


def test_the_orientation_of_the_camera_is_honoured(client: TestClient):
    content = np.zeros((28, 56), np.uint8)
    content[:, :28] = 255  # white at the left; turned by 90° clockwise it is at the top
    exif = Image.Exif()
    exif[0x0112] = 6
    answer = send(client, file_of(Image.fromarray(content), "JPEG", exif=exif, quality=100)).json()
    shown = pixels(answer)
    assert answer["original_size"] == [56, 28]
    assert shown[:26].min() > 240 and shown[30:].max() < 15


def test_what_is_transparent_lies_on_black_and_a_palette_is_read(client: TestClient):
    content = np.full((60, 60, 4), 255, np.uint8)
    content[..., 3] = 0
    assert pixels(send(client, file_of(Image.fromarray(content))).json()).max() == 0
    assert abs(int(pixels(send(client, file_of(grey(60, 60).convert("P"))).json()).mean()) - 120) <= 2


def test_the_same_pixels_are_kept_once_and_nothing_else_of_the_file(client: TestClient):
    first = send(client, file_of(grey(100, 100))).json()
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    assert send(client, file_of(grey(100, 100), exif=exif)).json() == first


def test_the_oldest_are_forgotten(client: TestClient, system: System, monkeypatch: pytest.MonkeyPatch):
    ids = [send(client, file_of(Image.fromarray(np.full((60, 60), level, np.uint8)))).json()["id"]
           for level in (10, 20, 30)]
    monkeypatch.setattr("backend.reconciler.KEPT_UPLOADS", 2)
    forget_old_uploads(system)
    assert [client.get(f"{UPLOADS}/{number}").status_code for number in ids] == [404, 200, 200]


HOSTILE = {
    "a decompression bomb": (lambda: png_claiming(60_000, 60_000), "pixels"),
    "a smaller bomb": (lambda: png_claiming(10_000, 10_000), "10000 × 10000 pixels"),
    "a renamed text file": (lambda: b"The quick brown fox\n" * 50, "no PNG, JPEG or WebP"),
    "a GIF": (lambda: file_of(grey(60, 60), "GIF"), "no PNG, JPEG or WebP"),
    "an animated PNG": (lambda: file_of(grey(60, 60), save_all=True, append_images=[Image.new("L", (60, 60))]),
                        "animated"),
    "an animated WebP": (lambda: file_of(grey(60, 60), "WEBP", save_all=True, append_images=[Image.new("L", (60, 60))]),
                         "animated"),
    "CMYK": (lambda: file_of(grey(60, 60).convert("CMYK"), "JPEG"), "colour space CMYK"),
    "16 bits of grey": (lambda: file_of(Image.fromarray(np.zeros((60, 60), np.uint16))), "16 bits"),
    "16 bits of colour": (lambda: png_claiming(60, 60, depth=16, color=2), "16 bits"),
    "no pixels": (lambda: png_claiming(0, 0), "PNG"),
    "one pixel": (lambda: file_of(grey(1, 1)), "1 × 1 pixels"),
    "cut short": (lambda: file_of(Image.effect_noise((200, 200), 50))[:2000], "damaged"),
    "nothing but a signature": (lambda: b"\x89PNG\r\n\x1a\n", "PNG"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_refused_in_a_sentence_with_memory_flat(name: str):
    make, words = HOSTILE[name]
    content = make()
    uploads.fitted(file_of(grey(60, 60)), 1, (56, 28))  # what is loaded at the first image is loaded now
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(uploads.BadImage, match=words):
        uploads.fitted(content, 1, (56, 28))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 32 * 1024, f"{grown} KiB more"


def test_a_refusal_is_a_problem_with_its_reason(client: TestClient):
    answer = send(client, b"The quick brown fox")
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "this is no PNG, JPEG or WebP image, whatever its name says"


def test_a_file_over_the_limit_and_an_unknown_data_set_are_refused(client: TestClient):
    assert send(client, bytes(8 * 2**20 + 1)).status_code == 413
    assert send(client, file_of(grey(60, 60)), "nope").status_code == 404
    assert client.get(f"{UPLOADS}/77").status_code == 404
    assert client.post(UPLOADS, params={"dataset": "blockmnist"}).status_code == 422
