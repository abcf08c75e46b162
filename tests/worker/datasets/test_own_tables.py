"""Tables beside a user's images: what is recognised, and a sentence for every mistake."""

import json
import os

import pytest

from densitylab.worker.datasets.image_source import BadTree
from tests.worker.datasets.own_image_files import bird_files, birds, csv, pixels_of, png, register, stored, write

NAMES = ["0", "1"]


def refused(tmp_path, contents, match, **options):
    with pytest.raises(BadTree, match=match) as error:
        register(tmp_path, write(tmp_path / "in", contents), **options)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out.*"))
    return str(error.value)


def expected(rows):
    splits = {0: "train", 1: "validation", 2: "test"}
    return {
        pixels_of(png(row["img_id"])): (splits[row["split"]], row["y"], 2 * row["y"] + row["place"], row["place"])
        for row in rows
    }


def test_metadata_in_the_layout_of_waterbirds_is_recognised(tmp_path):
    rows = birds()
    facts = register(tmp_path, write(tmp_path / "in", bird_files(rows) | {"metadata.csv": csv(rows)}))
    assert facts.class_names == NAMES and facts.attributes == {"place": ["place 0", "place 1"]}
    assert facts.group_names == ["0, place 0", "0, place 1", "1, place 0", "1, place 1"]
    assert stored(tmp_path) == expected(rows)


@pytest.mark.parametrize(
    "table",
    [
        lambda rows: ("metadata.csv", "\ufeff" + csv(rows, ";").replace("\n", "\r\n")),
        lambda rows: ("labels.tsv", csv(rows, "\t")),
        lambda rows: ("metadata.jsonl", "\n".join(json.dumps(row) for row in rows)),
    ],
    ids=["byte order mark, semicolons and CRLF", "tabs", "JSON lines"],
)
def test_other_ways_to_save_the_table_give_the_same_data(tmp_path, table):
    rows = birds()
    name, content = table(rows)
    register(tmp_path, write(tmp_path / "in", bird_files(rows) | {name: content}))
    assert stored(tmp_path) == expected(rows)


def test_columns_are_as_the_user_says(tmp_path):
    rows = [
        {"a": row["img_filename"], "b": row["y"], "c": "ABC"[row["split"]], "d": row["place"], "e": row["img_id"] % 3}
        for row in birds()
    ]
    facts = register(
        tmp_path,
        write(tmp_path / "in", bird_files(birds()) | {"tables/mine.csv": csv(rows), "metadata.csv": "x\n1\n"}),
        table="tables/mine.csv",
        columns={"image": "a", "label": "b", "split": "c", "attributes": ["d", "e"]},
        split_values={"A": "train", "B": "validation", "C": "test"},
        class_names=["landbird", "waterbird"],
        group_by=["d"],
    )
    assert facts.class_names == ["landbird", "waterbird"] and list(facts.attributes) == ["d", "e"]
    assert facts.group_names[3] == "waterbird, d 1"
    assert {key: value[:4] for key, value in stored(tmp_path).items()} == expected(birds())


def test_the_lists_of_celeba_are_joined_and_minus_one_means_not(tmp_path):
    files = {f"img_align_celeba/{number:06}.png": png(number) for number in range(1, 25)}
    rows = [f"{number:06}.png  {1 if number % 2 else -1}  {-1 if number % 3 else 1}" for number in range(1, 25)]
    attributes = "24\nBlond_Hair Male\n" + "\n".join(rows)
    partition = "\n".join(f"{number:06}.png {(0, 0, 1, 2)[number // 2 % 4]}" for number in range(1, 25))
    lists = {"list_attr_celeba.txt": attributes, "list_eval_partition.txt": partition}
    folder = write(tmp_path / "in", files | lists)
    with pytest.raises(BadTree, match=r"no column that is recognised as the label: name it \(label\), one of .*Male"):
        register(tmp_path, folder)
    facts = register(tmp_path, folder, columns={"label": "Blond_Hair"})
    assert facts.class_names == ["not Blond_Hair", "Blond_Hair"] and facts.attributes == {"Male": ["not Male", "Male"]}
    assert facts.info.sizes == {"train": 12, "validation": 6, "test": 6}
    by_pixels = stored(tmp_path)
    assert by_pixels[pixels_of(png(5))] == ("validation", 1, 2, 0)


def test_an_image_folder_with_metadata_in_each_split_takes_labels_from_the_folders(tmp_path):
    contents = {}
    for split in ("train", "test"):
        lines = ["file_name,colour"]
        for number in range(12):
            name = f"{'cat' if number % 2 else 'dog'}/{number}.png"
            contents[f"{split}/{name}"] = png(number + 100 * (split == "test"))
            lines.append(f"{name},{('red', 'blue', 'green')[number % 3]}")
        contents[f"{split}/metadata.csv"] = "\n".join(lines)
    facts = register(tmp_path, write(tmp_path / "in", contents))
    assert facts.class_names == ["cat", "dog"] and facts.attributes == {"colour": ["blue", "green", "red"]}
    assert facts.info.sizes["test"] == 12
    assert stored(tmp_path)[pixels_of(png(103))] == ("test", 0, 2, 2)


def test_what_is_not_used_is_counted(tmp_path):
    rows = birds()
    contents = bird_files(rows) | {"metadata.csv": csv(rows), "extra.png": png(99)}
    facts = register(tmp_path, write(tmp_path / "in", contents))
    assert facts.notes[0] == "Images that metadata.csv does not name, passed over: 1 (extra.png)."


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"img_filename": "0.Bird/none.png"}, "line 4, column img_filename: there is no image '0.Bird/none.png'"),
        ({"img_filename": "../x.png"}, r"line 4, column img_filename: '../x.png' leads out of the folder"),
        ({"img_filename": "/etc/x.png"}, "line 4, column img_filename: '/etc/x.png' is an absolute path"),
        ({"img_filename": "0.Bird/0.png"}, "line 4, column img_filename: 0.Bird/0.png is listed already in line 2"),
        ({"img_filename": ""}, "line 4, column img_filename: there is no file name"),
        ({"y": "0.5"}, "line 4, column y: expected a class name or a whole number, got 0.5"),
        ({"y": ""}, "line 4, column y: there is no label"),
        ({"split": "extra"}, "line 4, column split: expected train, validation or test, got 'extra'"),
        ({"split": ""}, "line 4, column split: there is no split"),
    ],
)
def test_a_wrong_cell_is_named_by_line_and_column(tmp_path, changed, message):
    rows = birds()
    for row in rows:
        row["split"] = ("train", "valid", "test")[row["split"]]
    rows[2] |= changed
    refused(tmp_path, bird_files(birds()) | {"metadata.csv": csv(rows)}, f"metadata.csv, {message}")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "metadata.csv is empty"),
        ("file,y\n", "metadata.csv has no line below the names of its columns"),
        ("file,y,y\n1.png,0,1\n", "metadata.csv has several columns called 'y', the 2. and 3."),
        ("file,y\n1.png,0\n2.png\n", "metadata.csv, line 3 has 1 cells, expected 2"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, table, message):
    contents = {"1.png": png(1), "2.png": png(2), "metadata.csv": table}
    refused(tmp_path, contents, message, table="metadata.csv")
    refused(tmp_path, contents, message)


def test_a_table_beside_class_folders_that_is_not_about_the_images_is_passed_over(tmp_path):
    contents = {f"{label}/{number}.png": png(number) for label in ("a", "b") for number in range(8)}
    tables = {"log.csv": "time,path\n1,/var/log\n", "broken.csv": "a,a\n1,2\n"}
    facts = register(tmp_path, write(tmp_path / "in", contents | tables))
    assert facts.class_names == ["a", "b"] and not facts.group_names
    assert "Passed over: broken.csv has several columns called 'a'" in " ".join(facts.notes)


def test_json_lines_that_are_none_are_named(tmp_path):
    lines = '{"file": "1.png", "y": 0}\n[1]\n{"file": "2.png", "file": "1.png"}\nx\n'
    error = refused(tmp_path, {"1.png": png(1), "m.jsonl": lines}, "things are wrong", table="m.jsonl")
    assert "m.jsonl, line 2, can't be read: expected an object, got list" in error
    assert "line 3, can't be read: 'file' is there twice" in error and "line 4, can't be read" in error


def test_a_link_out_of_the_folder_is_named_at_its_line(tmp_path):
    rows = birds()
    contents = bird_files(rows)
    del contents[rows[2]["img_filename"]]
    folder = write(tmp_path / "in", contents | {"metadata.csv": csv(rows)})
    (tmp_path / "x.png").write_bytes(png())
    os.symlink(tmp_path / "x.png", folder / rows[2]["img_filename"])
    with pytest.raises(BadTree, match=r"line 4, column img_filename: 2.Bird/2.png is a link out of the folder"):
        register(tmp_path, folder)


def test_labels_with_gaps_and_names_are_classes(tmp_path):
    rows = birds()
    for row in rows:
        row["y"] = 7 if row["y"] else 2.0
    facts = register(tmp_path, write(tmp_path / "in", bird_files(rows) | {"metadata.csv": csv(rows)}))
    assert facts.class_names == ["2", "7"]


def test_splits_of_two_numbers_have_to_be_explained(tmp_path):
    rows = birds()
    for row in rows:
        row["split"] = int(row["split"] > 0)
    contents = bird_files(rows) | {"metadata.csv": csv(rows)}
    refused(tmp_path, contents, "the splits are 0 and 1 alone.*split_values")
    facts = register(tmp_path, tmp_path / "in", split_values={"0": "train", "1": "test"})
    assert facts.info.sizes["test"] == 12


def test_one_group_and_too_many_are_refused_and_500_are_not(tmp_path):
    rows = [{"file": row["img_filename"], "label": row["y"], "group": "a"} for row in birds()]
    refused(tmp_path, bird_files(birds()) | {"metadata.csv": csv(rows)}, "has one group")
    many = [{"file": f"{n}.png", "label": n % 2, "group": f"g{n // 2}"} for n in range(1002)]
    contents = {f"{n}.png": png(n, (8, 8)) for n in range(1002)}
    refused(tmp_path, contents | {"metadata.csv": csv(many)}, "group has 501 groups, expected at most 500")
    fewer = csv([row | {"group": f"g{row_index // 2 % 500}"} for row_index, row in enumerate(many)])
    facts = register(tmp_path, write(tmp_path / "in", {"metadata.csv": fewer}))
    assert len(facts.group_names) == 500


def test_a_group_that_the_test_split_lacks_is_noted(tmp_path):
    rows = birds()
    for row in rows:
        if row["split"] == 2:
            row["place"] = row["y"]
    facts = register(tmp_path, write(tmp_path / "in", bird_files(rows) | {"metadata.csv": csv(rows)}))
    assert "Small groups: 0, place 1 (3 in all, none in test)" in " ".join(facts.notes)


def test_images_of_different_sizes_need_a_size(tmp_path):
    rows = birds()
    contents = bird_files(rows) | {"metadata.csv": csv(rows), rows[5]["img_filename"]: png(5, (20, 16))}
    refused(tmp_path, contents, "the images have different sizes: 0.Bird/0.png has 16×16 pixels and 2.Bird/5.png 20×16")
    assert register(tmp_path, tmp_path / "in", image_size=(8, 8)).image_size == (8, 8)


def test_masks_of_a_column_are_checked_against_their_images(tmp_path):
    rows = [row | {"mask": f"masks/{row['img_id']}.png"} for row in birds()]
    white = png(1, (16, 16))
    contents = bird_files(rows) | {row["mask"]: white for row in rows} | {"metadata.csv": csv(rows)}
    assert register(tmp_path / "a", write(tmp_path / "in", contents)).has_mask
    wrong = {rows[3]["mask"]: png(1, (16, 40))}
    refused(tmp_path, contents | wrong, "the mask masks/4.png has 16×40 pixels, but its image 16×16")
