"""groups.csv as spreadsheets and scripts save it."""

import unicodedata

import pytest

from densitylab.worker.datasets.groups_csv import read_groups

FILES = [f"{label}/{number}.png" for label in ("cats", "dogs") for number in range(3)]
GROUPS = {name: f"g{index % 2}" for index, name in enumerate(FILES)}


def table(separator=",", header=("file", "group"), end="\n", name=str, quote=""):
    rows = [header, *((name(file), group) for file, group in GROUPS.items())]
    return "".join(separator.join(f"{quote}{cell}{quote}" for cell in row) + end for row in rows)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(table().encode(), id="plain"),
        pytest.param(table(";").encode(), id="semicolons"),
        pytest.param(table("\t").encode(), id="tabs"),
        pytest.param(table("|").encode(), id="bars"),
        pytest.param(table(", ").encode(), id="space after comma"),
        pytest.param(table(" , ").encode(), id="spaces around commas"),
        pytest.param(table(quote='"').encode(), id="quoted"),
        pytest.param(table(", ", quote='"').encode(), id="space before quotes"),
        pytest.param(table(header=("File", "GROUP")).encode(), id="capitals"),
        pytest.param(table(header=(" file ", "Group ")).encode(), id="spaces in the header"),
        pytest.param(table(end="\r\n").encode(), id="Windows line ends"),
        pytest.param(table(end="\r").encode(), id="old Mac line ends"),
        pytest.param((table(end="\r\n") + ",\r\n,,\r\n\r\n").encode(), id="empty last rows of Excel"),
        pytest.param(("\n\n" + table()).encode(), id="empty first rows"),
        pytest.param(("sep=;\r\n" + table(";", end="\r\n")).encode(), id="sep line of Excel"),
        pytest.param(table().encode("utf-8-sig"), id="UTF-8 with BOM"),
        pytest.param(table("\t", end="\r\n").encode("utf-16"), id="UTF-16 of Excel"),
        pytest.param(table().encode("utf-16-be"), id="UTF-16 big-endian without BOM"),
        pytest.param(table().encode("utf-16-le"), id="UTF-16 little-endian without BOM"),
        pytest.param(b"\xfe\xff" + table().encode("utf-16-be"), id="UTF-16 big-endian"),
        pytest.param(table().encode("utf-32"), id="UTF-32"),
        pytest.param(table(name=lambda file: file.replace("/", "\\")).encode(), id="backslashes"),
        pytest.param(table(name=lambda file: ".\\" + file.replace("/", "\\")).encode(), id="dot and backslashes"),
        pytest.param(table(name=lambda file: f"./{file}").encode(), id="dot and slash"),
        pytest.param(table(name=lambda file: f"birds/{file}").encode(), id="with the folder around it"),
        pytest.param(table(name=str.upper).encode(), id="names in capitals"),
        pytest.param(table(header=("file", "group", "note")).encode(), id="a column without cells"),
        pytest.param(
            "\n".join(["id;group;file", *(f"7;{group};{file}" for file, group in GROUPS.items())]).encode(),
            id="other order and more columns",
        ),
    ],
)
def test_each_way_of_saving_gives_the_same_groups(content):
    assert read_groups(content, FILES, "birds/") == (GROUPS, [])


@pytest.mark.parametrize(
    ("encoding", "form"),
    [("utf-8", "NFC"), ("utf-8", "NFD"), ("utf-16", "NFC"), ("utf-16", "NFD"), ("cp1252", "NFC")],
)
def test_accents_are_equal_in_every_form(encoding, form):
    content = unicodedata.normalize(form, "file,group\ncafé/0.png,naïve\n").encode(encoding)
    assert read_groups(content, ["café/0.png"], "") == ({"café/0.png": "naïve"}, [])


def test_everything_that_is_wrong_is_listed_with_its_line():
    lines = ["file,group", "cats/0.png,a", "cats/9.png,a", "", "cats/1.png,", "cats/0.png,b", "CATS/2.png,a"]
    _, problems = read_groups("\n".join(lines).encode(), FILES[:4], "")
    assert problems == [
        "groups.csv, line 3: there is no image 'cats/9.png'",
        "groups.csv, line 5: cats/1.png has no group",
        "groups.csv, line 6: cats/0.png is in two groups",
        "groups.csv names no group for dogs/0.png",
    ]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"cats/0.png,a\n", b"name,kind\n", b"\x00\x01\x02"])
def test_a_table_without_the_two_columns_is_refused(content):
    assert read_groups(content, FILES, "")[1] == [
        "groups.csv: expected the columns file and group, and a line for each image"
    ]


def test_names_that_differ_in_case_alone_are_not_mixed_up():
    files = ["cats/a.png", "cats/A.png"]
    assert read_groups(b"file,group\ncats/A.png,x\ncats/a.png,y\n", files, "")[0] == {
        "cats/A.png": "x",
        "cats/a.png": "y",
    }
    assert "there is no image 'CATS/a.png'" in read_groups(b"file,group\nCATS/a.png,x\n", files, "")[1][0]
