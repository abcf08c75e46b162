"""Uploaded images: fitted as described, or refused with a sentence, quickly and with little memory."""

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

from densitylab.backend.reconciler import System
from densitylab.backend.services import pruning, uploads
from densitylab.backend.shared.tables import UploadRow

UPLOADS = "/api/v1/uploads"


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def send(client: TestClient, content: bytes, dataset: str = "blockmnist") -> Any:
    return client.post(
        UPLOADS, params={"dataset": dataset}, content=content, headers={"Content-Type": "application/octet-stream"}
    )


def pixels(answer: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["image"].partition(",")[2]))))


def grey(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.full((height, width), 120, np.uint8))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width: int, height: int, depth: int = 8, color: int = 0) -> bytes:
    """Return a PNG with this header whose data unpacks to 64 MB of zeros."""
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
    assert found["original_size"] == [200, 300] and "cropped around its centre" in found["fitted"]
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


@pytest.mark.parametrize(
    ("kind", "image"),
    [
        ("JPEG", grey(60, 60).convert("CMYK")),
        ("TIFF", grey(60, 60).convert("CMYK")),
        ("PNG", Image.fromarray(np.full((60, 60), 120 * 257, np.uint16))),
        ("TIFF", Image.fromarray(np.full((60, 60), 120 / 255, np.float32))),
        ("PNG", grey(60, 60).convert("LA")),
        ("GIF", grey(60, 60)),
        ("AVIF", grey(60, 60)),
        ("BMP", grey(60, 60)),
        ("PPM", grey(60, 60)),
    ],
)
def test_other_formats_colour_spaces_and_depths_are_read(client: TestClient, kind: str, image: Image.Image):
    answer = send(client, file_of(image, kind))
    assert answer.status_code == 201, answer.text
    assert np.abs(pixels(answer.json()).astype(int) - 120).max() <= 3


def test_the_same_pixels_are_kept_once_and_nothing_else_of_the_file(client: TestClient):
    first = send(client, file_of(grey(100, 100))).json()
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    assert send(client, file_of(grey(100, 100), exif=exif)).json() == first


def test_the_oldest_are_forgotten(client: TestClient, system: System, monkeypatch: pytest.MonkeyPatch):
    ids = [
        send(client, file_of(Image.fromarray(np.full((60, 60), level, np.uint8)))).json()["id"]
        for level in (10, 20, 30)
    ]
    monkeypatch.setattr(pruning, "KEPT_UPLOADS", 2)
    pruning.prune(system.database, pruning.Retention())
    assert [client.get(f"{UPLOADS}/{number}").status_code for number in ids] == [404, 200, 200]


HOSTILE = {
    "a decompression bomb": (lambda: png_claiming(60_000, 60_000), "pixels"),
    "a smaller bomb": (lambda: png_claiming(10_000, 10_000), "10000 × 10000 pixels"),
    "a renamed text file": (lambda: b"The quick brown fox\n" * 50, "not an image of a known format"),
    "PostScript": (lambda: file_of(grey(60, 60), "EPS"), "not an image of a known format"),
    "an endless PostScript": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 60\n{ } loop\n",
        "not an image of a known format",
    ),
    "an animated PNG": (
        lambda: file_of(grey(60, 60), save_all=True, append_images=[Image.new("L", (60, 60))]),
        "animated",
    ),
    "an animated WebP": (
        lambda: file_of(grey(60, 60), "WEBP", save_all=True, append_images=[Image.new("L", (60, 60))]),
        "animated",
    ),
    "LAB": (lambda: file_of(Image.new("LAB", (60, 60)), "TIFF"), "colour space LAB"),
    "32 bits of grey": (lambda: file_of(Image.fromarray(np.zeros((60, 60), np.int32)), "TIFF"), "32-bit whole numbers"),
    "floats over 1": (lambda: file_of(Image.fromarray(np.full((60, 60), 7, np.float32)), "TIFF"), "expected 0 to 1"),
    "no pixels": (lambda: png_claiming(0, 0), "not an image of a known format"),
    "one pixel": (lambda: file_of(grey(1, 1)), "1 × 1 pixels"),
    "cut short": (lambda: file_of(Image.effect_noise((200, 200), 50))[:2000], "damaged"),
    "nothing but a signature": (lambda: b"\x89PNG\r\n\x1a\n", "not an image of a known format"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_refused_in_a_sentence_with_memory_flat(name: str):
    make, words = HOSTILE[name]
    content = make()
    uploads.fit(file_of(grey(60, 60)), 1, (56, 28))  # Pillow loads its plug-ins at the first image
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(uploads.BadImage, match=words):
        uploads.fit(content, 1, (56, 28))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 32 * 1024, f"{grown} KiB more"


def test_a_refusal_is_a_problem_with_its_reason(client: TestClient):
    answer = send(client, b"The quick brown fox")
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "this file can't be read: it is not an image of a known format"


def test_a_file_over_the_limit_and_an_unknown_data_set_are_refused(client: TestClient):
    assert send(client, bytes(8 * 2**20 + 1)).status_code == 413
    assert send(client, file_of(grey(60, 60)), "nope").status_code == 404
    assert client.get(f"{UPLOADS}/77").status_code == 404
    assert client.post(UPLOADS, params={"dataset": "blockmnist"}).status_code == 422


def test_a_file_of_a_form_is_taken_like_a_body(client: TestClient):
    """As `curl -F file=@x.png` sends it."""
    content = file_of(grey(200, 300))
    params = {"dataset": "blockmnist"}
    form = client.post(UPLOADS, params=params, files={"file": ("x.png", content, "image/png")})
    assert form.status_code == 201, form.text
    assert form.json()["image"] == send(client, content).json()["image"]
    assert form.json()["original_size"] == [200, 300]


@pytest.mark.parametrize("form", [{"files": {"image": ("x.png", b"x")}}, {"data": {"file": "x"}, "files": {"b": b"x"}}])
def test_a_form_without_the_file_is_refused_with_its_field(client: TestClient, form: dict[str, Any]):
    refused = client.post(UPLOADS, params={"dataset": "blockmnist"}, **form)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "/file" and "'file'" in error["detail"]


@pytest.mark.parametrize("content", [b"--b\r\nbroken", b"", b"--b\r\n\r\nno headers\r\n--b--"])
def test_a_broken_form_is_refused(client: TestClient, content: bytes):
    refused = client.post(
        UPLOADS,
        params={"dataset": "blockmnist"},
        content=content,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert refused.status_code in (400, 422)


def test_a_form_of_an_image_that_cannot_be_read_is_refused_like_a_body(client: TestClient):
    form = client.post(UPLOADS, params={"dataset": "blockmnist"}, files={"file": ("x.png", b"no image")})
    assert form.status_code == 422
    assert form.json()["errors"] == send(client, b"no image").json()["errors"]


def test_an_upload_of_another_shape_than_its_data_set_is_a_conflict(client: TestClient, system: System):
    upload = send(client, file_of(grey(56, 28))).json()["id"]
    with system.database.write() as session:
        row = session.get_one(UploadRow, upload)
        row.pixels = row.pixels[:-1]
    answer = client.get(f"{UPLOADS}/{upload}")
    assert answer.status_code == 409 and "fitted to another shape" in answer.json()["detail"]


def test_an_upload_is_fitted_to_the_chosen_size_of_its_data_set(client: TestClient):
    for size in (64, 96):
        answer = client.post(
            UPLOADS,
            params={"dataset": "waterbirds", "image_size": size},
            content=file_of(grey(200, 300)),
            headers={"Content-Type": "application/octet-stream"},
        )
        assert answer.status_code == 201, answer.text
        assert pixels(client.get(answer.headers["location"]).json()).shape == (size, size, 3)
    refused = client.post(UPLOADS, params={"dataset": "blockmnist", "image_size": 64}, content=file_of(grey(9, 9)))
    assert refused.json()["errors"][0]["pointer"].endswith("image_size")
