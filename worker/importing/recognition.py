"""The format of a model file, from its first bytes: nothing is unpickled.

recognise(path) -> "safetensors" | "PyTorch checkpoint" | "PyTorch checkpoint (before 1.6)"
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from densitylab.worker.importing.errors import BadModelFile

SAFETENSORS, CHECKPOINT, OLD_CHECKPOINT = "safetensors", "PyTorch checkpoint", "PyTorch checkpoint (before 1.6)"
_OLD_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number at the start of torch's files before 1.6, pickled
_HEAD = 4096
_SAVE_WEIGHTS = "save its weights by torch.save(model.state_dict(), path) or as safetensors, and import that file"

# Test of the first bytes, and what such a file is
_OTHERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (
        lambda head: head.startswith(b"version https://git-lfs"),
        "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`, or download it from the repository's "
        "page",
    ),
    (
        lambda head: head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")),
        "a web page (HTML), not a model: the download gave a page instead of the file; open its address in a browser",
    ),
    (lambda head: head.startswith(b"\x93NUMPY"), "a NumPy array, not the weights of a network"),
    (lambda head: head.startswith(b"\x89HDF"), "an HDF5 file, as Keras writes: only PyTorch weights can be imported"),
    (lambda head: head.startswith(b"\x1f\x8b"), "compressed by gzip: unpack it, and import the file inside"),
    (lambda head: head.startswith((b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")), "a packed archive: unpack it first"),
    (lambda head: head.startswith(b"GGUF"), "a GGUF file of a language model, not an image classifier"),
    (lambda head: head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")), "an image, not a model"),
    (lambda head: head.startswith(b"%PDF"), "a PDF document, not a model"),
    (
        lambda head: head[257:262] == b"ustar",
        "a tar archive, or a checkpoint in the tar format of PyTorch before 0.1.10, which can't be read without "
        f"running code: {_SAVE_WEIGHTS}",
    ),
    (lambda head: head[:1] in (b"{", b"["), "JSON text, not the weights of a network"),
)


def recognise(path: Path) -> str:
    """Return the format of a file that can be read without running code.

    Raises:
        BadModelFile: it is of another kind; the message says which.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise BadModelFile("The file is empty.")
    if head.startswith(b"PK\x03\x04"):
        return _recognise_archive(path)
    if head[:1] == b"\x80" and head[2 : 2 + len(_OLD_MAGIC)] == _OLD_MAGIC:
        return OLD_CHECKPOINT
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
        return SAFETENSORS
    for test, kind in _OTHERS:
        if test(head):
            raise BadModelFile(f"The file is {kind}.")
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        raise BadModelFile(
            f"The file is a Python pickle, not a PyTorch checkpoint: reading it could run code; {_SAVE_WEIGHTS}."
        )
    if _is_text(head):
        raise BadModelFile("The file is text, not the weights of a network.")
    raise BadModelFile(
        "The file is neither safetensors nor a PyTorch checkpoint: these formats alone are read without running code."
    )


def _recognise_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise BadModelFile("The file is damaged or cut off: download or copy it again.") from error
    names = [entry.filename for entry in entries]
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise BadModelFile(
            f"The file is a TorchScript program, which contains code: load it where you trust it, then {_SAVE_WEIGHTS}."
        )
    if any("serialized_exported_program" in name or name.endswith("archive_format") for name in names):
        raise BadModelFile(
            "The file is a torch.export program: PyTorch evaluates expressions of such a file while it reads it, which "
            f"can run code; {_SAVE_WEIGHTS}."
        )
    if names and all(name.endswith(".npy") for name in names):
        raise BadModelFile("The file is a NumPy archive (.npz), not the weights of a network.")
    if "data.pkl" not in inner:
        raise BadModelFile("The file is a zip archive without a PyTorch checkpoint: unpack it first.")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise BadModelFile(
            "The file unpacks to more than its own size, which no PyTorch checkpoint does: it can't be read safely."
        )
    return CHECKPOINT


def _is_text(head: bytes) -> bool:
    try:
        return head[: _HEAD - 4].decode().isprintable() or (b"\n" in head and b"\x00" not in head)
    except UnicodeDecodeError:
        return False
