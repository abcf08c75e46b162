"""Restore a thousand damaged and forged copies of a backup: each is refused in a sentence with nothing written, or
restored whole.

    densitylab backup everything.tar
    python -m benchmarks.mutated_backups everything.tar [--copies 1000] [--seed 1]

Half of the copies are damaged: bytes, blocks, headers and members are changed, cut, doubled or renamed. The others are
forged by one who knows the format: values of rows and files are changed, and the list at the end is made again. A
damaged copy that is accepted must restore the system of the original: its own backup is the same. After a forged one
that is accepted, no address of the API may answer with 5xx, and a launch must work.
"""

import argparse
import collections
import hashlib
import io
import json
import logging
import random
import re
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from densitylab.backend.api.app import create_app
from densitylab.backend.ops import backup, restore
from densitylab.backend.ops.backup_archive import BadBackup
from densitylab.backend.shared.settings import Settings

Members = list[tuple[tarfile.TarInfo, bytes]]
LIST = "backup.json"
GOOD = {"refused", "whole", "accepted"}
NAMES = [
    "files/../x",
    "/etc/x",
    "files//x",
    "x",
    "files/\x1b[2J",
    "rows/x.jsonl",
    "files/" + "a" * 300,
    LIST,
    "files/é",
]
VALUES: list[Any] = [
    None, True, 0, -1, 1, 2**31, 2**63, 10**400, 1e300, -0.5, "", "x", "\0", "a\nb", "../../etc/passwd", "é" * 50_000,
    "runs/1/x", "rubbish", "queued", "running", "deleted", [], [1], [None], {}, {"key": "x"}, {"a": {"b": [1]}},
]  # fmt: skip
KINDS = [
    tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE,
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.SOLARIS_XHDTYPE, b"V", b"\0", b"\xff",
]  # fmt: skip


@dataclass(frozen=True)
class Copy:
    """A changed backup, and how it was changed."""

    change: str
    forged: bool
    content: bytes


def copies(original: bytes, count: int, seed: int) -> Iterator[Copy]:
    """Yield changed copies of a backup, every second one forged."""
    chance = random.Random(seed)
    members = _read(original)
    for number in range(count):
        if number % 2:
            change = chance.choice(FORGERIES)
            yield Copy(change.__name__, True, _write(_seal(change(chance, list(members)))))
        else:
            damage = chance.choice(DAMAGES)
            yield Copy(damage.__name__, False, damage(chance, original))


# ---- damages ----------------------------------------------------------------------------------------------------


def flip_bytes(chance: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 8, 64])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def flip_a_header(chance: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    changed[chance.choice(_headers(content)) + chance.randrange(512)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut_the_end(chance: random.Random, content: bytes) -> bytes:
    return content[: chance.randrange(len(content))]


def cut_a_block(chance: random.Random, content: bytes) -> bytes:
    start = chance.randrange(0, len(content), 512)
    return content[:start] + content[start + 512 * chance.choice([1, 2, 9]) :]


def double_a_block(chance: random.Random, content: bytes) -> bytes:
    start = chance.randrange(0, len(content), 512)
    return content[: start + 512] + content[start:]


def zero_a_range(chance: random.Random, content: bytes) -> bytes:
    start = chance.randrange(len(content))
    length = min(chance.choice([1, 100, 5000]), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def append_bytes(chance: random.Random, content: bytes) -> bytes:
    return content + chance.randbytes(chance.choice([1, 512, 10240]))


def lie_in_a_header(chance: random.Random, content: bytes) -> bytes:
    """Change a field of a header and make its checksum fit."""
    changed, start = bytearray(content), chance.choice(_headers(content))
    fields = [(0, 100), (100, 8), (124, 12), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (329, 8), (345, 155)]
    offset, length = chance.choice(fields)
    field = chance.choice(
        [
            chance.randbytes(length),
            b"\xff" * length,
            b"\x80" + chance.randbytes(length - 1),
            b"7" * length,
            bytes(length),
            chance.choice(KINDS).ljust(length, b"\0")[:length],
            b"../../x".ljust(length, b"\0")[:length],
        ]
    )
    changed[start + offset : start + offset + length] = field
    header = changed[start : start + 512]
    changed[start + 148 : start + 156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:]))
    return bytes(changed)


def remove_a_member(chance: random.Random, content: bytes) -> bytes:
    members = _read(content)
    members.pop(chance.randrange(len(members)))
    return _write(members)


def double_a_member(chance: random.Random, content: bytes) -> bytes:
    members = _read(content)
    return _write([*members, chance.choice(members)])


def rename_a_member(chance: random.Random, content: bytes) -> bytes:
    members = _read(content)
    chance.choice(members)[0].name = chance.choice([*NAMES, chance.choice(members)[0].name])
    return _write(members)


def link_a_member(chance: random.Random, content: bytes) -> bytes:
    members = _read(content)
    entry = chance.choice(members)[0]
    entry.type, entry.linkname = chance.choice(KINDS), chance.choice(["/etc/passwd", "../x", members[0][0].name])
    return _write(members)


# ---- forgeries: the list is made again afterwards ---------------------------------------------------------------


def change_a_value(chance: random.Random, members: Members) -> Members:
    """Change a value in a row, however deep."""

    def change(row: Any) -> None:
        while True:
            key = chance.choice(list(row) if isinstance(row, dict) else range(len(row)))
            if not isinstance(row[key], dict | list) or not row[key] or chance.random() < 0.3:
                break
            row = row[key]
        row[key] = chance.choice(VALUES)

    return _with_row(chance, members, change)


def change_a_key(chance: random.Random, members: Members) -> Members:
    def change(row: dict[str, Any]) -> None:
        value = row.pop(chance.choice(list(row)))
        if chance.random() < 0.5:
            row[chance.choice(["x", "id", ""])] = value

    return _with_row(chance, members, change)


def swap_values(chance: random.Random, members: Members) -> Members:
    """Swap two values of a row, so that types fit by chance."""

    def change(row: dict[str, Any]) -> None:
        first, second = chance.sample(list(row), 2)
        row[first], row[second] = row[second], row[first]

    return _with_row(chance, members, change)


def change_rows(chance: random.Random, members: Members) -> Members:
    """Remove, double or mix rows, or break one."""

    def change(lines: list[bytes]) -> list[bytes]:
        line = chance.choice(lines)
        return chance.choice(
            [
                [other for other in lines if other is not line],
                [*lines, line],
                chance.sample(lines, len(lines)),
                [*lines, line[: chance.randrange(len(line))]],
                [*lines, b"\xff\xfe"],
                [*lines, b"[" * 100_000],
                [],
            ]
        )

    return _with_lines(chance, members, change)


def change_a_file(chance: random.Random, members: Members) -> Members:
    position = chance.choice([i for i, (entry, _) in enumerate(members) if not entry.name.startswith("rows/")][:-1])
    entry, content = members[position]
    changed = chance.choice([b"", content[: len(content) // 2], flip_bytes(chance, content or b"\0"), b"x"])
    members[position] = entry, changed
    return members


def change_members(chance: random.Random, members: Members) -> Members:
    """Remove, add or rename a member."""
    entry, content = members.pop(chance.randrange(len(members) - 1))
    if chance.random() < 0.6:
        members.insert(0, (tarfile.TarInfo(chance.choice([*NAMES[:-2], f"{entry.name}x"])), content))
    return members


DAMAGES: list[Callable[[random.Random, bytes], bytes]] = [
    flip_bytes, flip_bytes, flip_a_header, cut_the_end, cut_a_block, double_a_block, zero_a_range, append_bytes,
    lie_in_a_header, lie_in_a_header, remove_a_member, double_a_member, rename_a_member, link_a_member,
]  # fmt: skip
FORGERIES: list[Callable[[random.Random, Members], Members]] = [
    change_a_value, change_a_value, change_a_value, change_a_value, change_a_key, swap_values, change_rows,
    change_a_file, change_members,
]  # fmt: skip


def _with_row(chance: random.Random, members: Members, change: Callable[[Any], None]) -> Members:
    def change_one(lines: list[bytes]) -> list[bytes]:
        position = chance.randrange(len(lines))
        row = json.loads(lines[position])
        change(row)
        return [*lines[:position], json.dumps(row).encode(), *lines[position + 1 :]]

    return _with_lines(chance, members, change_one)


def _with_lines(chance: random.Random, members: Members, change: Callable[[list[bytes]], list[bytes]]) -> Members:
    tables = [i for i, (entry, content) in enumerate(members) if entry.name.startswith("rows/") and content]
    position = chance.choice(tables)
    entry, content = members[position]
    members[position] = entry, b"".join(line + b"\n" for line in change(content.splitlines()))
    return members


def _seal(members: Members) -> Members:
    *others, (entry, content) = members
    listed = json.loads(content)
    listed["members"] = {
        other.name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for other, data in others
    }
    return [*others, (entry, json.dumps(listed).encode())]


def _read(content: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [(entry, archive.extractfile(entry).read()) for entry in archive]  # type: ignore[union-attr]


def _write(members: Members) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for entry, content in members:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def _headers(content: bytes) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [entry.offset for entry in archive]


# ---- what becomes of a copy -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Whole:
    """The restored original."""

    content: dict[str, bytes]  # of the members of its own backup, without the list with its time
    addresses: list[str]  # that the API answers with 200


def restored(original: Path, folder: Path) -> Whole:
    """Restore the original below an empty folder."""
    settings = Settings(home=folder / "home")
    restore.restore(settings, original)
    with TestClient(create_app(settings)) as client:
        paths = client.get("/openapi.json").json()["paths"]
        keys = [item["key"] for item in client.get("/api/v1/datasets").json()["items"]]
        named = [path for path, methods in paths.items() if "get" in methods and not path.endswith("/events")]
        filled = [
            re.sub(r"{[a-z]+_id}", str(number), path.replace("{name}", "checkpoint.pt").replace("{key}", key))
            for path in named
            for number in (range(1, 6) if "_id}" in path else [0])
            for key in (keys if "{key}" in path else [""])
        ]
        addresses = [address for address in filled if client.get(address).status_code == 200]
    return Whole(_backed_up(settings, folder), addresses)


def outcome(copy: Copy, folder: Path, whole: Whole) -> str:
    """Restore a copy into a new system below an empty folder.

    Returns:
        "refused", "whole", "accepted" for a forged copy with which the API works, or what is wrong.
    """
    file, settings = folder / "copy.tar", Settings(home=folder / "home")
    file.write_bytes(copy.content)
    try:
        restore.restore(settings, file)
    except (BadBackup, restore.RestoreError) as error:
        sentence = str(error)
        if settings.home.exists():
            return f"refused, but something was written: {sentence}"
        return "refused" if sentence and sentence.isprintable() else f"refused, but not in a sentence: {sentence!r}"
    except Exception as error:
        return f"raised {type(error).__name__}: {str(error)[:200]}"
    if _backed_up(settings, folder) == whole.content:
        return "whole"
    return _problem_of_the_api(settings, whole.addresses) or "accepted" if copy.forged else "restored something else"


def _backed_up(settings: Settings, folder: Path) -> dict[str, bytes]:
    backup.create(settings, folder / "again.tar")
    return {entry.name: content for entry, content in _read((folder / "again.tar").read_bytes()) if entry.name != LIST}


def _problem_of_the_api(settings: Settings, addresses: list[str]) -> str | None:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        for address in addresses:
            answer = client.get(address)
            if answer.status_code >= 500:
                return f"{answer.status_code} at {address}"
        answer = client.post("/api/v1/experiments", json={})
        return None if answer.status_code == 202 else f"{answer.status_code} to a launch: {answer.text[:200]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--copies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.disable()
    original = given.file.read_bytes()
    counts: dict[tuple[str, bool], collections.Counter[str]] = collections.defaultdict(collections.Counter)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        whole = restored(given.file, Path(folder))
    for copy in copies(original, given.copies, given.seed):
        with tempfile.TemporaryDirectory() as folder:
            what = outcome(copy, Path(folder), whole)
            counts[copy.change, copy.forged][what] += 1
            if what not in GOOD:
                print(f"{copy.change}: {what}", flush=True)
    for (change, forged), outcomes in sorted(counts.items()):
        print(f"{'forged' if forged else 'damaged'}  {change:<18}", dict(outcomes))
    total = sum((outcomes for outcomes in counts.values()), collections.Counter[str]())
    print(f"{total.total()} copies in {time.monotonic() - began:.0f} s: {dict(total)}")
    return 0 if set(total) <= GOOD else 1


if __name__ == "__main__":
    sys.exit(main())
