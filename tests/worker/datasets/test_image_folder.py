"""A user's own images: their facts, and an error for each kind of mistake."""

import io
import stat
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from densitylab.backend.shared import images as decoder
from densitylab.worker.datasets import image_folder, image_source, npy_store
from densitylab.worker.datasets.image_folder import BadFolder
from densitylab.worker.datasets.image_source import BadTree
from densitylab.worker.errors import Interrupted

CLASSES = ("cats", "dogs")


def png(seed=0, size=(16, 12), mode="RGB"):
    shape = (*size, 3) if mode == "RGB" else size
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def files(count=10, size=(16, 12), mode="RGB"):
    """{name: content} of images of each class."""
    return {
        f"{label}/{number}.png": png(100 * index + number, size, mode)
        for index, label in enumerate(CLASSES)
        for number in range(count)
    }


def write(folder, contents):
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def zipped(path, contents):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def register(tmp_path, source, *, should_stop=lambda: False, progress=lambda share: None, **options):
    with image_source.opened(source) as images:
        return image_folder.register(
            tmp_path / "out", images, decoder, **options, progress=progress, should_stop=should_stop
        )


def refused(tmp_path, contents, match, **options):
    with pytest.raises((BadFolder, BadTree), match=match) as error:
        register(tmp_path, write(tmp_path / "in", contents), **options)
    lines = str(error.value).splitlines()
    assert len(lines) == 1 or (len(lines) <= 21 and lines[0].endswith(" things are wrong:"))
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out.*"))


def test_classes_size_and_splits_are_determined(tmp_path):
    facts = register(tmp_path, write(tmp_path / "in", files(20)))
    assert facts.class_names == ["cats", "dogs"] and facts.channels == 3 and facts.image_size == (16, 12)
    assert facts.info.sizes == {"train": 28, "validation": 4, "test": 8} and not facts.has_mask
    stored = {}
    for split in npy_store.SPLITS:
        data = npy_store.load(tmp_path / "out", split)
        stored |= dict(zip((image.numpy().tobytes() for image in data.images), data.labels.tolist(), strict=True))
    expected = {
        np.moveaxis(np.asarray(Image.open(io.BytesIO(content))), -1, 0).tobytes(): CLASSES.index(name[:4])
        for name, content in files(20).items()
    }
    assert stored == expected


def test_a_folder_and_its_archive_are_the_same_data(tmp_path):
    first = register(tmp_path / "a", write(tmp_path / "in", files()))
    around = {f"my birds/{name}": content for name, content in files().items()}
    noise = {"__MACOSX/my birds/cats/._1.png": b"", "my birds/.DS_Store": b"", "my birds/cats/Thumbs.db": b""}
    (tmp_path / "b").mkdir()
    second = register(tmp_path / "b", zipped(tmp_path / "in.zip", around | noise))
    assert first == second


def test_given_splits_stay_and_the_missing_one_is_drawn(tmp_path):
    contents = {
        f"{split}/{name}": png(seed)
        for seed, (split, name) in enumerate((split, name) for split in ("train", "val") for name in files())
    }
    info = register(tmp_path, write(tmp_path / "in", contents)).info
    assert info.sizes == {"train": 16, "validation": 20, "test": 4}


def test_grey_images_have_one_channel_and_one_in_colour_makes_three(tmp_path):
    grey = files(mode="L")
    assert register(tmp_path / "a", write(tmp_path / "in", grey)).channels == 1
    assert register(tmp_path / "b", write(tmp_path / "mixed", grey | {"cats/0.png": png()})).channels == 3


def test_groups_are_read_drawn_evenly_and_named(tmp_path):
    contents = files(20)
    lines = [f"{name},{'land' if number % 4 else 'water'}" for number, name in enumerate(contents)]
    facts = register(tmp_path, write(tmp_path / "in", contents | {"groups.csv": "file,group\n" + "\n".join(lines)}))
    assert facts.group_names == ["land", "water"]
    assert facts.info.group_counts == {"train": [20, 6], "validation": [4, 2], "test": [6, 2]}


@pytest.mark.parametrize(("marks", "null"), [("object", False), ("null", True)])
def test_masks_are_true_on_the_null_part(tmp_path, marks, null):
    white = np.zeros((16, 12), np.uint8)
    white[:8] = 255
    file = io.BytesIO()
    Image.fromarray(white).save(file, "PNG")
    masks = {f"masks/{name}": file.getvalue() for name in files()}
    assert register(tmp_path, write(tmp_path / "in", files() | masks), mask_marks=marks).has_mask
    stored = npy_store.load(tmp_path / "out", "test").masks
    assert (stored[:, 0, :8] == null).all() and (stored[:, 0, 8:] != null).all()


def test_other_sizes_are_cropped_to_the_centre_and_scaled(tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 8:24] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    facts = register(tmp_path, write(tmp_path / "in", files() | {"cats/0.png": file.getvalue()}), image_size=(8, 8))
    assert facts.image_size == (8, 8)
    train = torch.cat([npy_store.load(tmp_path / "out", split).images for split in npy_store.SPLITS])
    # the middle of that image is white, the filter reaches a little beyond it
    assert (train[:, :, :, 1:-1].flatten(1) == 255).all(1).sum() == 1


def test_two_images_of_a_class_are_too_few(tmp_path):
    refused(tmp_path, files(2), "too few images to draw the (validation|test) split: .* would be the last of its class")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda contents: {name: content for name, content in contents.items() if name.startswith("cats")},
            "at least two classes, a folder for each, got cats",
        ),
        (lambda contents: {}, "there are no images"),
        (lambda contents: contents | {"cats/3.png": b"no image"}, r"cats/3\.png can't be read: it is not an image"),
        (lambda contents: contents | {"cats/3.png": png()[:200]}, r"cats/3\.png can't be read"),
        (
            lambda contents: contents | {"cats/3.png": png(size=(8, 8))},
            r"different sizes: .* has 16×12 pixels and cats/(3|4)\.png (8×8|16×12)"
            r"|different sizes: cats/0\.png has 16×12",
        ),
        (lambda contents: contents | {"cats/notes.heic": b"x"}, r"cats/notes\.heic is not an image"),
        (lambda contents: contents | {"loose.png": png()}, r"loose\.png is not in a class's folder"),
        (
            lambda contents: contents | {"groups.csv": "file,group\ncats/99.png,a\n"},
            r"groups\.csv, line 2: there is no image 'cats/99\.png'",
        ),
        (
            lambda contents: contents | {"groups.csv": "file,group\ncats/1.png,a\n"},
            "groups.csv names no group for cats/0",
        ),
        (lambda contents: contents | {"groups.csv": "cats/1.png,a\n"}, "expected the columns file and group"),
        (lambda contents: contents | {"masks/cats/0.png": png()}, "there is no mask masks/cats/1.png"),
        (
            lambda contents: (
                {f"train/{name}": content for name, content in contents.items()} | {"test/cats/1.png": png()}
            ),
            "the class dogs has no image in test",
        ),
    ],
)
def test_bad_folders_are_refused_in_one_sentence(tmp_path, change, match):
    (tmp_path / "in").mkdir()
    refused(tmp_path, change(files()), match)


def test_images_of_a_size_that_no_model_takes_are_refused(tmp_path):
    refused(tmp_path, files(size=(4, 4)), "expected images of 8 to 512 pixels a side, got 4×4")


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    folder = write(tmp_path / "in", files())
    (folder / "cats" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(BadTree, match=r"cats/link\.png is a link out of the folder"):
        register(tmp_path, folder)


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "cats/../../evil.png", "..\\evil.png", "C:/evil.png"])
def test_an_archive_whose_paths_climb_out_is_refused(tmp_path, name):
    with pytest.raises(BadTree, match="which leads out of it"):
        register(tmp_path, zipped(tmp_path / "in.zip", files() | {name: png()}))


def test_an_archive_with_a_link_is_refused(tmp_path):
    path = zipped(tmp_path / "in.zip", files())
    with zipfile.ZipFile(path, "a") as file:
        link = zipfile.ZipInfo("cats/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    with pytest.raises(BadTree, match=r"holds a link, 'cats/link\.png'"):
        register(tmp_path, path)


def test_a_zip_bomb_is_refused_by_its_stated_and_by_its_true_size(tmp_path, monkeypatch):
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files().items():
            file.writestr(name, content)
        file.writestr("cats/bomb.png", bytes(3_000_000))
    monkeypatch.setattr(image_source, "FREE_BYTES", 2_000_000)
    with pytest.raises(BadTree, match="would unpack to"):
        register(tmp_path, path)
    monkeypatch.setattr(image_source, "FREE_BYTES", 2**30)
    monkeypatch.setattr(image_source, "MAX_FILE_BYTES", 1_000_000)
    with pytest.raises(BadTree, match=r"cats/bomb\.png is larger than"):
        register(tmp_path, path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a zip at all"])
def test_an_incomplete_archive_is_refused(tmp_path, content):
    (tmp_path / "in.zip").write_bytes(content)
    with pytest.raises(BadTree, match=r"in\.zip is not a complete zip archive"):
        register(tmp_path, tmp_path / "in.zip")


def test_a_damaged_member_is_refused(tmp_path):
    path = zipped(tmp_path / "in.zip", files())
    content = bytearray(path.read_bytes())
    content[content.index(b"cats/0.png") + 300] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises((BadTree, BadFolder), match=r"cats/0\.png can't be"):
        register(tmp_path, path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(BadTree, match="there is no folder or archive"):
        register(tmp_path, tmp_path / "absent")


def test_a_stop_while_reading_or_storing_leaves_nothing(tmp_path):
    source = write(tmp_path / "in", files())
    for number in (3, 21):
        answers = iter([False] * number + [True] * 9)
        with pytest.raises(Interrupted):
            register(tmp_path, source, should_stop=lambda answers=answers: next(answers))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
