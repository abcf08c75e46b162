"""The table of sub-populations beside a user's images, as spreadsheets and scripts save it."""

from __future__ import annotations

import codecs
import csv
import unicodedata
from collections import defaultdict

_DELIMITERS = ",;\t|"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_groups(content: bytes, files: list[str], base: str) -> tuple[dict[str, str], list[str]]:
    """Return the group of each image by its file, and a sentence for everything that is wrong.

    Args:
        content: a table with the columns file and group, in any case and order. Separated by commas, semicolons, tabs
            or bars, in UTF-8, UTF-16 or Windows-1252.
        files: of the images, relative to the folder of the table.
        base: the folder around everything, with which the names in the table may begin.
    """
    text = unicodedata.normalize("NFC", decoded_text(content)).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    start = next((index for index, line in enumerate(lines) if line.strip() and not line.startswith("sep=")), None)
    delimiter, columns = _columns("" if start is None else lines[start])
    if start is None or delimiter is None:
        return {}, ["groups.csv: expected the columns file and group, and a line for each image"]
    known = _Names(files, base)
    group_of: dict[str, str] = {}
    blank: set[str] = set()
    problems = []
    reader = csv.reader((f"{line}\n" for line in lines[start + 1 :]), delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            where = f"groups.csv, line {start + 1 + reader.line_num}"
            name, group = (cells[column] if column < len(cells) else "" for column in columns)
            file = known.find(name)
            if file is None:
                problems.append(f"{where}: there is no image {name!r}")
            elif not group:
                problems.append(f"{where}: {file} has no group")
                blank.add(file)
            elif group_of.setdefault(file, group) != group:
                problems.append(f"{where}: {file} is in two groups")
    except csv.Error as error:
        problems.append(f"groups.csv, line {start + 1 + reader.line_num}, can't be read: {error}")
    without = (file for file in files if file not in group_of and file not in blank)
    problems += [f"groups.csv names no group for {file}" for file in without]
    return group_of, problems


class _Names:
    """Find images by the names that people write."""

    def __init__(self, files: list[str], base: str) -> None:
        self._base = base.casefold()
        self._exact = set(files)
        self._folded = defaultdict(list)
        for file in files:
            self._folded[file.casefold()].append(file)

    def find(self, name: str) -> str | None:
        file = "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
        if file in self._exact:
            return file
        folded = file.casefold()
        same = self._folded.get(folded) or self._folded.get(folded.removeprefix(self._base), [])
        return same[0] if len(same) == 1 else None


def decoded_text(content: bytes) -> str:
    """Return the text of a table in UTF-8, UTF-16, UTF-32 or Windows-1252."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    if content[:64:2].count(0) > 8 or content[1:64:2].count(0) > 8:  # UTF-16 without a mark
        return content.decode("utf-16-be" if content[0] == 0 else "utf-16-le", "replace")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _columns(line: str) -> tuple[str | None, tuple[int, int]]:
    """Return the delimiter and the numbers of the columns file and group; None if the line does not name them."""
    for delimiter in _DELIMITERS:
        names = [cell.strip().strip('"').strip().casefold() for cell in line.split(delimiter)]
        if "file" in names and "group" in names:
            return delimiter, (names.index("file"), names.index("group"))
    return None, (0, 0)
