"""Stray files, unusual names, and messages that list everything that is wrong."""

import io
import os
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

from densitylab.backend.shared import images as decoder
from densitylab.worker.datasets import image_folder, image_source, npy_store
from densitylab.worker.datasets.image_folder import BadFolder


def png(seed=0):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def mask(marked=8, kind="PNG"):
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:, 16 - marked :] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def files(classes=("cats", "dogs"), count=10):
    return {
        f"{label}/{number}.png": png(100 * index + number)
        for index, label in enumerate(classes)
        for number in range(count)
    }


def write(folder, contents):
    for name, content in contents.items():
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as handle:
            handle.write(content if isinstance(content, bytes) else content.encode())
    return folder


def zipped(path, contents):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def register(root, source, **options):
    with image_source.opened(source) as tree:
        return image_folder.register(
            root, tree, decoder, **options, progress=lambda share: None, should_stop=lambda: False
        )


def problems(tmp_path, contents, folders=()):
    source = write(tmp_path / "in", contents)
    for name in folders:
        (source / name).mkdir(parents=True)
    with pytest.raises(BadFolder) as error:
        register(tmp_path / "out", source)
    assert not (tmp_path / "out").exists()
    return str(error.value).splitlines()


DIRT = {
    "README.md": "hello",
    "LICENSE": "MIT",
    "cats/labels.txt": "0 cat",
    "dogs/Icon\r": b"",
    "cats/Thumbs.db": b"x",
    "ehthumbs.db": b"x",
    "desktop.ini": b"x",
    ".DS_Store": b"x",
    "dogs/._0.png": b"x",
    "cats/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg": png(),
    "__MACOSX/cats/._0.png": b"x",
    "cats/0.png:Zone.Identifier": b"[ZoneTransfer]",
    "#recycle/cats/9.png": png(),
    "cats/.ipynb_checkpoints/0-checkpoint.png": png(),
    "dogs/0.xml": "<annotation/>",
    "checksums.md5": "x",
}


@pytest.mark.parametrize("archived", [False, True])
def test_dirt_is_passed_over_and_counted_and_changes_nothing(tmp_path, archived):
    masks = {f"masks/{name}": mask() for name in files()}
    table = "file,group\n" + "".join(f"{name},g{index % 2}\n" for index, name in enumerate(files()))
    clean_files = files() | masks | {"groups.csv": table}
    clean = register(tmp_path / "clean", write(tmp_path / "in", clean_files))
    assert clean.notes == []
    dirty_files = clean_files | DIRT
    source = zipped(tmp_path / "d.zip", dirty_files) if archived else write(tmp_path / "dirty", dirty_files)
    dirty = register(tmp_path / "out", source)
    assert dirty == clean and dirty.info.data_hash == clean.info.data_hash
    (note,) = dirty.notes
    assert note.startswith(f"Files that are no images, passed over: {len(DIRT)} (") and note.endswith(", …).")


def test_the_dirt_around_a_wrapping_folder_is_no_class(tmp_path):
    wrapped = {f"my birds/{name}": content for name, content in files().items()}
    facts = register(tmp_path / "out", write(tmp_path / "in", wrapped | {"README": "x", "my birds/LICENSE": "y"}))
    assert facts.class_names == ["cats", "dogs"]
    assert facts.notes == ["Files that are no images, passed over: 2 (README, my birds/LICENSE)."]


@pytest.mark.parametrize("name", ["9.heic", "9.JP2", "9.psd", "9.dng"])
def test_a_picture_that_is_not_read_is_no_dirt(tmp_path, name):
    (line,) = problems(tmp_path, files() | {f"cats/{name}": b"x"})
    assert line.startswith(f"cats/{name} is not an image of a kind that is read; expected .jpg, ")


@pytest.mark.parametrize("suffix", decoder.SUFFIXES)
def test_every_suffix_is_an_image_in_small_and_capital_letters(tmp_path, suffix):
    named = {
        name.replace(".png", suffix if index % 2 else suffix.upper()): content
        for index, (name, content) in enumerate(files().items())
    }
    clean = register(tmp_path / "clean", write(tmp_path / "in", files()))
    assert register(tmp_path / "out", write(tmp_path / "named", named)).info.data_hash == clean.info.data_hash


@pytest.mark.parametrize(
    ("train", "test", "validation"),
    [
        ("train", "test", "val"),
        ("Train", "Test", "Val"),
        ("TRAINING", "Testing", "Validation"),
        ("training", "tests", "valid"),
        ("Training", "TEST", "dev"),
    ],
)
def test_split_folders_in_any_case(tmp_path, train, test, validation):
    contents = {
        f"{split}/{name}": png(seed)
        for seed, (split, name) in enumerate((split, name) for split in (train, test, validation) for name in files())
    }
    info = register(tmp_path / "out", write(tmp_path / "in", contents)).info
    assert info.sizes == {"train": 20, "validation": 20, "test": 20}


def test_two_folders_for_one_split_are_refused(tmp_path):
    contents = {f"{split}/{name}": png() for split in ("train", "test", "Testing") for name in files()}
    assert problems(tmp_path, contents) == ["Testing and test are both the test split: expected one folder"]


@pytest.mark.parametrize("content", [{}, {"birds/.gitkeep": b""}, {"birds/labels.txt": b"x"}])
def test_an_empty_class_is_named(tmp_path, content):
    folders = [] if content else ["birds"]
    (line,) = problems(tmp_path, files() | content, folders)
    assert line == "the class folder birds has no image: remove it, or put its images there"


def test_empty_splits_and_classes_of_a_split_are_named(tmp_path):
    contents = {f"train/{name}": content for name, content in files().items()}
    assert problems(tmp_path, contents, ["test", "train/birds"])[1:] == [
        "the folder test has no image",
        "the class folder train/birds has no image: remove it, or put its images there",
    ]


def test_an_empty_class_of_an_archive_is_named(tmp_path):
    with pytest.raises(BadFolder, match="the class folder birds has no image"):
        register(tmp_path / "out", zipped(tmp_path / "in.zip", files() | {"birds/": b""}))


def test_a_class_may_be_called_masks(tmp_path):
    facts = register(tmp_path / "out", write(tmp_path / "in", files(("faces", "masks"))))
    assert facts.class_names == ["faces", "masks"] and not facts.has_mask
    contents = {f"train/{name}": content for name, content in files(("faces", "masks")).items()}
    contents |= {f"masks/{name}": mask() for name in contents}
    facts = register(tmp_path / "given", write(tmp_path / "split", contents))
    assert facts.class_names == ["faces", "masks"] and facts.has_mask


def test_a_class_called_masks_beside_a_folder_of_masks_is_refused(tmp_path):
    contents = files(("cats", "masks"), 1) | {f"masks/{name}": mask() for name in files(("cats", "dogs"), 2)}
    assert any("masks/0.png: a class may not be called masks" in line for line in problems(tmp_path, contents))


@pytest.mark.parametrize("archived", [False, True])
def test_classes_in_two_forms_of_unicode_are_one(tmp_path, archived):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    contents = {f"train/{name}": content for name, content in files((composed, "dogs")).items()}
    contents |= {f"test/{name}": content for name, content in files((decomposed, "dogs"), 3).items()}
    contents |= {f"masks/{unicodedata.normalize('NFD', name)}": mask() for name in contents}
    source = zipped(tmp_path / "in.zip", contents) if archived else write(tmp_path / "in", contents)
    facts = register(tmp_path / "out", source)
    assert facts.class_names == ["café", "dogs"] and facts.info.sizes["test"] == 6 and facts.has_mask


def test_class_folders_that_are_not_utf8_have_valid_names(tmp_path):
    contents = {os.fsencode(name).replace(b"cats", b"caf\xe9"): content for name, content in files().items()}
    contents |= {b"caf\xe8/0.png": png(), b"caf\xe8/1.png": png(), b"caf\xe8/2.png": png(), b"not\xe9s.txt": b"x"}
    facts = register(tmp_path / "out", write(tmp_path / "in", contents))
    assert facts.class_names == ["caf\\xe9", "caf\ufffd", "dogs"]
    assert facts.notes == ["Files that are no images, passed over: 1 (not\ufffds.txt)."]


def test_an_error_about_a_name_that_is_not_utf8_can_be_stored(tmp_path):
    (line,) = problems(tmp_path, {os.fsencode(name): c for name, c in files().items()} | {b"cats/\xe9.png": b"broken"})
    assert line.encode() and line == "cats/\ufffd.png can't be read: it is not an image of a known format"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (mask(0), "the mask masks/cats/0.png marks no pixel"),
        (mask(16), "the mask masks/cats/0.png marks every pixel"),
        (b"x", "the mask masks/cats/0.png can't be read: it is not an image of a known format"),
    ],
)
def test_a_mask_that_marks_nothing_or_everything_is_named(tmp_path, content, sentence):
    assert problems(tmp_path, files() | {f"masks/{n}": mask() for n in files()} | {"masks/cats/0.png": content}) == [
        sentence
    ]


def test_a_mask_of_another_shape_is_named(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.eye(16, 24, dtype=np.uint8) * 255).save(file, "PNG")
    contents = files() | {f"masks/{name}": mask() for name in files()} | {"masks/dogs/3.png": file.getvalue()}
    assert problems(tmp_path, contents) == ["the mask masks/dogs/3.png has 16×24 pixels, but its image 16×16"]


def stored_masks(root):
    """{bytes of the image: share of its null part}."""
    pairs = {}
    for split in npy_store.SPLITS:
        data = npy_store.load(root, split)
        for image, null in zip(data.images, data.masks, strict=True):
            pairs[image.numpy().tobytes()] = null.float().mean().item()
    return pairs


def pixels(content):
    return np.moveaxis(np.asarray(Image.open(io.BytesIO(content))), -1, 0).tobytes()


@pytest.mark.parametrize("suffix", ["", ".png"])
def test_images_of_one_stem_have_each_its_own_mask(tmp_path, suffix):
    contents = files(count=4) | {"cats/0.bmp": png(77)}
    marked = {name: 4 if name == "cats/0.bmp" else 8 for name in contents}
    masks = {f"masks/{name}{suffix}": mask(marked[name]) for name in contents}
    register(tmp_path / "out", write(tmp_path / "in", contents | masks))
    stored = stored_masks(tmp_path / "out")
    assert {name: stored[pixels(content)] for name, content in contents.items()} == {
        name: 1 - count / 16 for name, count in marked.items()
    }


@pytest.mark.parametrize(
    ("images", "masks", "sentence"),
    [
        (["0.jpg", "0.png"], ["0.bmp"], "because of cats/0.jpg and cats/0.png"),
        (["0.jpg", "0.png"], ["0.png"], "the mask of cats/0.jpg is ambiguous"),
        (["0.jpg"], ["0.bmp", "0.png"], "because of masks/cats/0.bmp and masks/cats/0.png"),
    ],
)
def test_a_mask_that_could_belong_to_two_images_is_refused(tmp_path, images, masks, sentence):
    contents = {f"dogs/{n}.png": png(n) for n in range(3)} | {f"masks/dogs/{n}.png": mask() for n in range(3)}
    contents |= {f"cats/{name}": png() for name in images} | {f"masks/cats/{name}": mask() for name in masks}
    assert any(sentence in line for line in problems(tmp_path, contents))


def test_masks_with_another_ending_and_masks_without_an_image(tmp_path):
    masks = {f"masks/{name.replace('.png', '.gif')}": mask(kind="GIF") for name in files()}
    contents = files() | masks | {"masks/cats/99.png": mask()}
    facts = register(tmp_path / "out", write(tmp_path / "in", contents))
    assert facts.has_mask and facts.notes == ["Masks without an image: 1 (masks/cats/99.png)."]


def test_everything_that_is_wrong_is_listed_up_to_twenty_lines(tmp_path):
    contents = files() | {"loose.png": png(), "cats/a/b.png": png(), "cats/9.heic": b"x"}
    os.makedirs(tmp_path / "in/cats")
    os.mkfifo(tmp_path / "in/cats/f.png")
    assert problems(tmp_path, contents, ["birds"]) == [
        "5 things are wrong:",
        "cats/f.png is not a regular file",
        f"cats/9.heic is not an image of a kind that is read; expected {', '.join(decoder.SUFFIXES)}",
        "cats/a/b.png is not in a class's folder: expected CLASS/IMAGE",
        "loose.png is not in a class's folder: expected CLASS/IMAGE",
        "the class folder birds has no image: remove it, or put its images there",
    ]


def test_unreadable_images_are_all_listed(tmp_path):
    broken = {f"cats/{number}.png": b"broken" for number in range(4)}
    lines = problems(tmp_path, files() | broken)
    assert lines == ["4 things are wrong:"] + [
        f"{name} can't be read: it is not an image of a known format" for name in broken
    ]
    (tmp_path / "b").mkdir()
    many = problems(tmp_path / "b", files(count=40) | {f"dogs/{number}.png": b"broken" for number in range(30)})
    assert len(many) == 21 and many[-1] == "and 2 more"


def test_images_that_break_off_are_all_listed(tmp_path):
    cut = {f"cats/{number}.png": png()[:300] for number in range(10)}
    lines = problems(tmp_path, files() | cut)
    assert all("can't be read: it is damaged or incomplete" in line for line in lines[1:]) and len(lines) > 2


def grouped(sizes):
    """Images and a table with so many images of each (class, group)."""
    contents, rows = {}, ["file,group"]
    for index, ((label, group), count) in enumerate(sizes.items()):
        for number in range(count):
            name = f"{label}/{group}{number}.png"
            contents[name] = png(1000 * index + number)
            rows.append(f"{name},{group}")
    return contents | {"groups.csv": "\n".join(rows)}


def test_small_groups_are_put_where_they_can_be_and_listed(tmp_path):
    sizes = {("cats", "land"): 20, ("cats", "water"): 1, ("dogs", "land"): 2, ("dogs", "water"): 20}
    facts = register(tmp_path / "out", write(tmp_path / "in", grouped(sizes)))
    assert sum(facts.info.sizes.values()) == 43
    assert [sum(counts) for counts in zip(*facts.info.group_counts.values(), strict=True)] == [22, 21]
    (note,) = facts.notes
    assert (
        note.startswith("Small groups: cats × water (1 in all, none in ") and "dogs × land (2 in all, none in" in note
    )


def test_groups_of_single_images_alone_are_no_obstacle(tmp_path):
    sizes = {(label, f"g{number}"): 1 for label in ("cats", "dogs") for number in range(5)}
    facts = register(tmp_path / "out", write(tmp_path / "in", grouped(sizes)))
    assert facts.info.class_counts == {"train": [3, 3], "validation": [1, 1], "test": [1, 1]}
    assert facts.notes[0].count("1 in all") == 10


def test_given_splits_without_a_group_are_listed(tmp_path):
    contents = {f"train/{name}": content for name, content in files().items()}
    contents |= {f"test/{name}": content for name, content in files(count=2).items()}
    table = "file,group\n" + "".join(f"{name},{'b' if name == 'train/cats/0.png' else 'a'}\n" for name in contents)
    facts = register(tmp_path / "out", write(tmp_path / "in", contents | {"groups.csv": table}))
    assert facts.notes[0].startswith("Small groups: cats × b (1 in all, none in ")
