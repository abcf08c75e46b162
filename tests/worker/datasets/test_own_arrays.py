"""Images in .npz and .npy files, in Parquet and Arrow files, and with patterns of names."""

import io
import json
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from densitylab.worker.datasets import image_source, npy_store
from densitylab.worker.datasets.image_source import BadTree
from tests.worker.datasets.own_image_files import bird_files, birds, encoded, pixels_of, png, register, stored, write

SPLITS = ("train", "validation", "test")


def pixels(count=24, size=(16, 16), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def wilds(**changed):
    rows = birds()
    arrays = {
        "images": pixels(),
        "y": np.array([row["y"] for row in rows]),
        "split": np.array([row["split"] for row in rows]),
        "place": np.array([row["place"] for row in rows]),
        "place_names": np.array(["land", "water"]),
        "class_names": np.array(["landbird", "waterbird"]),
    }
    return {key: value for key, value in (arrays | changed).items() if value is not None}


def expected(images):
    return {
        np.moveaxis(image, -1, 0).tobytes(): (SPLITS[row["split"]], row["y"], 2 * row["y"] + row["place"], row["place"])
        for image, row in zip(images, birds(), strict=True)
    }


def refused(tmp_path, arrays, match, **options):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(BadTree, match=match) as error:
        register(tmp_path, tmp_path / "a.npz", **options)
    assert not (tmp_path / "out").exists()
    return str(error.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_with_usual_names_is_recognised(tmp_path, save):
    save(tmp_path / "a.npz", **wilds())
    facts = register(tmp_path, tmp_path / "a.npz")
    assert facts.class_names == ["landbird", "waterbird"] and facts.attributes == {"place": ["land", "water"]}
    assert facts.group_names[1] == "landbird, water" and stored(tmp_path) == expected(pixels())


def test_a_folder_of_npy_files_and_an_npz_in_a_folder_are_the_same_data(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    for key, value in wilds().items():
        np.save(tmp_path / "one" / f"{key}.npy", value)
    np.savez(tmp_path / "two" / "birds.npz", **wilds())
    (tmp_path / "two" / "README").write_text("x")
    first, second = (register(tmp_path / name, tmp_path / name) for name in ("one", "two"))
    assert first.info.data_hash == second.info.data_hash


@pytest.mark.parametrize(
    "images",
    [pixels() / 255, pixels().astype(np.int64), np.moveaxis(pixels(), -1, 1)],
    ids=["floats in [0, 1]", "whole numbers", "channels first"],
)
def test_other_types_and_orders_of_pixels_give_the_same_images(tmp_path, images):
    np.savez(tmp_path / "a.npz", **wilds(images=images))
    register(tmp_path, tmp_path / "a.npz")
    assert stored(tmp_path) == expected(pixels())


def test_splits_and_packed_masks_may_be_in_the_names_of_arrays(tmp_path):
    masks = np.zeros((24, 16, 16), bool)
    masks[:, :8] = True
    arrays = {}
    for split in ("train", "test"):
        part = wilds(split=None, class_names=None, place_names=None, images=pixels(seed=len(split)))
        arrays |= {f"{split}_{'labels' if key == 'y' else key}": value for key, value in part.items()}
        arrays[f"{split}_mask"] = np.packbits(masks.reshape(24, -1), axis=1)
    np.savez(tmp_path / "a.npz", **arrays, class_names=np.array(["landbird", "waterbird"]))
    facts = register(tmp_path, tmp_path / "a.npz")
    assert facts.class_names[0] == "landbird" and facts.info.sizes["test"] == 24 and facts.has_mask
    null = npy_store.load(tmp_path / "out", "test").masks
    assert not null[:, 0, :8].any() and null[:, 0, 8:].all()


def test_pickled_arrays_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    labels = np.empty(24, object)
    labels[:] = [Bomb()] * 24
    refused(tmp_path, wilds(y=labels), "y.npy holds Python objects .pickle., which would run code")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("images.npy", pickle.dumps(Bomb()))
    with pytest.raises(BadTree, match=r"images.npy is not a NumPy array that can be read"):
        register(tmp_path, tmp_path / "b.npz")
    assert not (tmp_path / "ran").exists()


def test_an_npz_that_would_unpack_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(image_source, "FREE_BYTES", 2**20)
    np.savez_compressed(tmp_path / "a.npz", **wilds(images=np.zeros((24, 512, 512, 3), np.uint8)))
    with pytest.raises(BadTree, match=r"the archive would unpack to"):
        register(tmp_path, tmp_path / "a.npz")


def test_a_header_that_lies_about_the_size_is_refused(tmp_path):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 9, 9)})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "images.npy").write_bytes(content.getvalue() + b"few")
    with pytest.raises(
        BadTree, match=r"images.npy is incomplete: its header says 81,000,000,000,000 bytes, and it has 3"
    ):
        register(tmp_path, tmp_path / "in")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": pixels() / 100}, r"images\[\d+\] has numbers from .*: expected floats in \[0, 1\]"),
        ({"images": pixels()[:, :, 0, 0]}, r"images has the shape \(24, 16\): expected images \(N, H, W\)"),
        ({"images": None}, "there is no array of images"),
        ({"y": None}, "there is no array that is recognised as the label"),
        ({"y": np.zeros(23)}, r"y has the shape \(23,\): expected one number or text of y for each image"),
        ({"y": np.linspace(0, 1, 24)}, r"y\[1\]: expected a class name or a whole number, got 0.04"),
        ({"split": np.arange(24) % 4}, r"split\[3\]: expected train, validation or test, got '3'"),
        ({"masks": np.zeros((24, 8, 8))}, r"masks has the shape \(24, 8, 8\) .*expected masks"),
    ],
)
def test_a_wrong_array_is_named(tmp_path, changed, message):
    refused(tmp_path, wilds(**changed), message)


def parquet(path, rows, images=None, **columns):
    content = [encoded(image) for image in (pixels() if images is None else images)]
    table = {
        "image": pa.array([{"bytes": item, "path": f"{index}.png"} for index, item in enumerate(content)]),
        "label": [row["y"] for row in rows],
        "place": [("land", "water")[row["place"]] for row in rows],
    }
    table |= columns
    features = {"label": {"names": ["landbird", "waterbird"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table).replace_schema_metadata(metadata), path, row_group_size=7)


def test_parquet_files_as_hugging_face_saves_them_are_read_with_their_splits_and_names(tmp_path):
    parquet(tmp_path / "in/data/train-00000-of-00002.parquet", birds())
    parquet(tmp_path / "in/data/train-00001-of-00002.parquet", birds(), pixels(seed=1))
    parquet(tmp_path / "in/data/test-00000-of-00001.parquet", birds(), pixels(seed=2))
    facts = register(tmp_path, tmp_path / "in")
    assert facts.class_names == ["landbird", "waterbird"] and facts.attributes == {"place": ["land", "water"]}
    assert facts.info.sizes["test"] == 24 and sum(facts.info.sizes.values()) == 72
    last = stored(tmp_path)[np.moveaxis(pixels(seed=2)[5], -1, 0).tobytes()]
    assert last == ("test", birds()[5]["y"], 2 * birds()[5]["y"] + birds()[5]["place"], birds()[5]["place"])


def test_a_data_set_saved_as_arrow_files_is_read(tmp_path):
    for number, split in enumerate(("train", "test")):
        rows = {"image": [encoded(image) for image in pixels(seed=number)], "label": [row["y"] for row in birds()]}
        folder = tmp_path / "in" / split
        folder.mkdir(parents=True)
        with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file:
            table = pa.table(rows)
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
        features = {"label": {"names": ["landbird", "waterbird"], "_type": "ClassLabel"}}
        (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    facts = register(tmp_path, tmp_path / "in")
    assert facts.class_names == ["landbird", "waterbird"] and facts.info.sizes["test"] == 24
    assert stored(tmp_path)[np.moveaxis(pixels(seed=1)[3], -1, 0).tobytes()][:2] == ("test", birds()[3]["y"])


def test_a_parquet_table_of_files_is_read_like_a_csv(tmp_path):
    write(tmp_path / "in", bird_files(birds()))
    pq.write_table(pa.Table.from_pylist(birds()), tmp_path / "in" / "metadata.parquet")
    facts = register(tmp_path, tmp_path / "in")
    assert facts.attributes == {"place": ["place 0", "place 1"]} and facts.info.sizes["train"] == 12


def test_parquet_with_nested_or_missing_images_is_refused_by_column(tmp_path):
    nested = pa.array(pixels().tolist())
    parquet(tmp_path / "in/a.parquet", birds(), image=nested)
    with pytest.raises(BadTree, match=r"a.parquet, column image: expected encoded images .* got list<"):
        register(tmp_path, tmp_path / "in")
    missing = [{"bytes": encoded(image), "path": None} for image in pixels()]
    missing[4]["bytes"] = None
    parquet(tmp_path / "in/a.parquet", birds(), image=pa.array(missing))
    with pytest.raises(BadTree, match=r"a.parquet, row 5, column image: there is no image"):
        register(tmp_path, tmp_path / "in")


def test_a_pattern_of_names_gives_labels_attributes_and_splits(tmp_path):
    contents = {}
    for number, row in enumerate(birds()):
        kind, place = ("land", "water")[row["y"]], ("forest", "lake")[row["place"]]
        contents[f"around/{SPLITS[row['split']]}/{kind}/{place}_{number}.png"] = png(number)
    facts = register(tmp_path, write(tmp_path / "in", contents), pattern="{split}/{label}/{place}_*")
    assert facts.class_names == ["land", "water"] and facts.attributes == {"place": ["forest", "lake"]}
    row = birds()[9]
    assert stored(tmp_path)[pixels_of(png(9))][:2] == (SPLITS[row["split"]], row["y"])
    with pytest.raises(BadTree, match=r"train/land/.* does not fit the pattern \{label\}/x/"):
        register(tmp_path, tmp_path / "in", pattern="{label}/x/*")
    with pytest.raises(BadTree, match=r"has no \{label\}"):
        register(tmp_path, tmp_path / "in", pattern="{class}/*")


def test_a_damaged_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **wilds())
    content = (tmp_path / "a.npz").read_bytes()
    for start in (10, 100, 20_000):
        (tmp_path / "a.npz").write_bytes(content[:start] + content[start + 40 :])
        with pytest.raises(BadTree, match=r"can't be unpacked|is not a|is incomplete"):
            register(tmp_path, tmp_path / "a.npz")
