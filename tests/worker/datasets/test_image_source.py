"""Folders and archives as other systems and tools make them."""

import io
import os
import socket
import stat
import struct
import tracemalloc
import unicodedata
import zipfile

import pytest

from densitylab.worker.datasets import image_source
from densitylab.worker.datasets.image_source import BadTree


def names_of(path, **options):
    with image_source.opened(path, **options) as tree:
        for name in tree.names:
            tree.read(name)
        return tree.names


def problems_of(path, **options):
    with image_source.opened(path, **options) as tree:
        return tree.problems


def zipped(path, members, flags=None):
    """A zip of {raw name: content}; `flags` replaces the general purpose flags of all members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, content in enumerate(members.values()):
            archive.writestr(f"{number:02d}" + "x" * (len(list(members)[number]) - 2), content)
    raw = file.getvalue()
    for number, name in enumerate(members):
        placeholder = f"{number:02d}".encode() + b"x" * (len(name) - 2)
        assert raw.count(placeholder) == 2
        raw = raw.replace(placeholder, name)
    if flags is not None:
        raw = bytearray(raw)
        for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = raw.find(signature)
            while start >= 0:
                struct.pack_into("<H", raw, start + offset, flags)
                start = raw.find(signature, start + 4)
    path.write_bytes(raw)
    return path


UTF8 = 0x800


@pytest.mark.parametrize(
    ("raw", "flags", "name"),
    [
        (b"cats\\0.png", 0, "cats/0.png"),
        (b"my\\cats\\0.png", 0, "my/cats/0.png"),
        (b"./cats/0.png", 0, "cats/0.png"),
        (b".\\cats\\0.png", 0, "cats/0.png"),
        (b"cats//0.png", 0, "cats/0.png"),
        (b"cats/./0.png", 0, "cats/0.png"),
        (b"cats: small/0.png", 0, "cats: small/0.png"),
        (b"a:b/0.png", 0, "a:b/0.png"),
        ("café/0.png".encode(), UTF8, "café/0.png"),
        ("café/0.png".encode(), 0, "café/0.png"),
        (unicodedata.normalize("NFD", "café/0.png").encode(), 0, "café/0.png"),
        ("café/0.png".encode("cp437"), 0, "café/0.png"),
        ("café/0.png".encode("cp437"), UTF8, "café/0.png"),
        ("猫/0.png".encode(), 0, "猫/0.png"),
    ],
)
def test_names_in_archives_are_those_that_were_meant(tmp_path, raw, flags, name):
    assert names_of(zipped(tmp_path / "in.zip", {raw: b"x"}, flags)) == [name]


@pytest.mark.parametrize("raw", ["猫/0.png".encode("shift-jis"), "кот/0.png".encode("cp1251"), b"\xff\xfe/0.png"])
@pytest.mark.parametrize("flags", [0, UTF8])
def test_names_of_unknown_encoding_are_valid_unicode(tmp_path, raw, flags):
    (name,) = names_of(zipped(tmp_path / "in.zip", {raw: b"x"}, flags))
    assert name.endswith("/0.png") and name.encode()


def test_content_that_looks_like_a_directory_of_a_zip_is_not_changed(tmp_path):
    content = b"PK\x01\x02" + bytes(range(256))
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", content)
    with image_source.opened(path) as tree:
        assert tree.read("a.png") == content


def test_a_folder_entry_of_a_windows_tool_is_a_folder(tmp_path):
    path = zipped(tmp_path / "in.zip", {b"cats\\": b"", b"dogs/": b"", b"birds\\0.png": b"x"})
    with image_source.opened(path) as tree:
        assert tree.folders == ["cats", "dogs"] and tree.names == ["birds/0.png"]


def test_two_members_of_one_name_are_a_problem_unless_they_are_the_same(tmp_path):
    path = zipped(tmp_path / "in.zip", {b"cats/0.png": b"one", b"cats\\0.png": b"two", b"./cats/1.png": b"x"})
    assert problems_of(path) == {"cats/0.png": "cats/0.png is twice in the archive, with different content"}
    same = zipped(tmp_path / "same.zip", {b"cats/0.png": b"one", b"cats\\0.png": b"one"})
    assert problems_of(same) == {} and names_of(same) == ["cats/0.png"]


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_a_special_file_in_an_archive_is_a_problem(tmp_path, kind):
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("cats/0.png")
        member.create_system, member.external_attr = 3, (kind | 0o644) << 16
        archive.writestr(member, b"")
    assert problems_of(path) == {"cats/0.png": "cats/0.png is not a regular file"}


def file(path, content=b"x"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as handle:
        handle.write(content)


def test_names_in_folders_that_are_not_utf8_are_valid_unicode_and_differ(tmp_path):
    root = os.fsencode(tmp_path / "in")
    for name in (b"caf\xe9/0.png", b"caf\xe8/0.png", b"caf\xe9/\xff.png", "naïve/0.png".encode()):
        file(os.path.join(root, name))
    names = names_of(tmp_path / "in")
    assert len(names) == 4 and all(name.encode() for name in names)
    assert {name.split("/")[0] for name in names} == {"caf\ufffd", "caf\\xe9", "naïve"}


def test_composed_and_decomposed_names_are_equal(tmp_path):
    for form, number in (("NFC", 0), ("NFD", 1)):
        file(tmp_path / "in" / unicodedata.normalize(form, "café") / f"{number}.png")
    assert names_of(tmp_path / "in") == ["café/0.png", "café/1.png"]
    for form in ("NFC", "NFD"):
        file(tmp_path / "in" / unicodedata.normalize(form, "café") / "2.png")
    assert problems_of(tmp_path / "in") == {
        "café/2.png": "café/2.png is there twice, in two forms of Unicode: rename one"
    }


def test_links_inside_the_data_folder_are_followed(tmp_path):
    file(tmp_path / "data/store/cats/0.png")
    file(tmp_path / "data/in/dogs/0.png")
    (tmp_path / "data/in/cats").symlink_to(tmp_path / "data/store/cats")
    (tmp_path / "data/in/dogs/1.png").symlink_to("../../store/cats/0.png")
    assert names_of(tmp_path / "data/in", within=tmp_path / "data") == ["cats/0.png", "dogs/0.png", "dogs/1.png"]
    assert problems_of(tmp_path / "data/in").keys() == {"cats", "dogs/1.png"}  # without that they lead out


def test_links_that_lead_out_in_circles_or_nowhere_are_problems(tmp_path):
    file(tmp_path / "outside/0.png")
    root = tmp_path / "data/in"
    file(root / "cats/0.png")
    (root / "dogs").symlink_to(tmp_path / "outside")
    (root / "cats/loop").symlink_to(root)
    (root / "cats/nowhere.png").symlink_to(root / "absent.png")
    (root / "cats/self.png").symlink_to(root / "cats/self.png")
    problems = problems_of(root, within=tmp_path / "data")
    assert problems.keys() == {"dogs", "cats/loop", "cats/nowhere.png", "cats/self.png"}
    assert f"is a link out of the folder {tmp_path / 'data'}" in problems["dogs"]
    assert problems["cats/loop"] == "cats/loop is a link to a folder around it"
    assert "No such file" in problems["cats/nowhere.png"]


@pytest.mark.timeout(20)
def test_pipes_sockets_and_devices_are_problems_and_block_nothing(tmp_path, monkeypatch):
    root = tmp_path / "in"
    file(root / "cats/0.png")
    os.mkfifo(root / "cats/f.png")
    monkeypatch.chdir(root / "cats")  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        assert problems_of(root) == {
            "cats/f.png": "cats/f.png is not a regular file",
            "cats/s.png": "cats/s.png is not a regular file",
        }
    with pytest.raises(BadTree, match="neither a folder nor a zip archive"):
        names_of(root / "cats/f.png")
    with image_source.opened(root) as tree:
        (root / "cats/0.png").unlink()
        os.mkfifo(root / "cats/0.png")
        with pytest.raises(BadTree, match=r"cats/0\.png is not a regular file"):
            tree.read("cats/0.png")


def test_a_folder_that_cannot_be_opened_is_a_problem(tmp_path, monkeypatch):
    file(tmp_path / "in/cats/0.png")
    file(tmp_path / "in/dogs/0.png")
    scandir = os.scandir

    def denied(path):
        if str(path).endswith("dogs"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)  # root may open everything
    assert problems_of(tmp_path / "in") == {"dogs": "the folder dogs can't be opened: Permission denied"}


def directory_of(path, entries, name_bytes, said=None):
    """A zip of a directory only: entries with names of that length, and as many as the end record says."""
    with path.open("wb") as file:
        for number in range(entries):
            name = b"%08d" % number + b"x" * (name_bytes - 8)
            file.write(struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, *[0] * 8, name_bytes, *[0] * 6) + name)
        size, said = file.tell(), entries if said is None else said
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, said & 0xFFFF, said & 0xFFFF, size, 0, 0))
    return path


@pytest.mark.parametrize("said", [None, 0, 1])
def test_archives_of_too_many_entries_are_refused_whatever_they_say(tmp_path, monkeypatch, said):
    monkeypatch.setattr(image_source, "MAX_ENTRIES", 1000)
    assert len(names_in(directory_of(tmp_path / "in.zip", 1000, 20, said))) == 1000
    with pytest.raises(BadTree, match="more than 1,000 entries: register the unpacked images from a folder"):
        names_in(directory_of(tmp_path / "in.zip", 1001, 20, said))


def test_archives_with_a_large_directory_are_refused_unread(tmp_path):
    path = directory_of(tmp_path / "in.zip", 2400, 60_000)  # 137 MiB
    tracemalloc.start()
    with pytest.raises(BadTree, match="directory is larger than 64 MiB"):
        names_in(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_what_the_directory_of_an_archive_costs_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(image_source, "MAX_ENTRIES", 10_000)  # of 250,000
    path = directory_of(tmp_path / "in.zip", 10_000, 200)
    tracemalloc.start()
    names_in(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / 10_000 < 2500  # bytes per entry


def names_in(path):
    with image_source.opened(path) as tree:
        return tree.names
