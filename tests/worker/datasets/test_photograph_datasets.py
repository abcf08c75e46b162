"""CelebA, Waterbirds and Tiny ImageNet from small files in their original formats, packed and unpacked."""

import importlib
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CelebA

from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.source import Source, Unavailable, md5_of

NAME = "waterbird_complete95_forest2water2"


def prepare(key, root, placed, **params):
    return importlib.import_module(f"densitylab.worker.datasets.{key}").prepare(
        root,
        Source(placed=placed, downloads=placed / "downloads"),
        **params,
        progress=lambda share: None,
        should_stop=lambda: False,
    )


def jpeg(level, size=(64, 64)):
    """An image of one grey level, which identifies it."""
    file = io.BytesIO()
    Image.new("RGB", size, (level,) * 3).save(file, "JPEG", quality=95)
    return file.getvalue()


def levels(data):
    return data.images[:, 0, 32, 32].tolist()


def write(folder, contents):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def packed(path, contents):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)


def tarred(path, contents):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            content = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def celeba(count=12):
    """({name: content} of the lists, {name: content} of the images)."""
    names = [f"{number + 1:06d}.jpg" for number in range(count)]
    attributes = ["Bald", "Blond_Hair", "Male", "Young"]
    rows = [
        f"{name} -1 {1 if number % 2 else -1:2d} {1 if number % 4 > 1 else -1:2d}  1"
        for number, name in enumerate(names)
    ]
    lists = {
        "list_attr_celeba.txt": "\n".join([str(count), " ".join(attributes) + " ", *rows]) + "\n",
        "list_eval_partition.txt": "\n".join(f"{name} {number // 4}" for number, name in enumerate(names)) + "\n",
    }
    return lists, {name: jpeg(20 * number, (178, 218)) for number, name in enumerate(names)}


@pytest.mark.parametrize("zipped", [False, True])
def test_celeba_has_hair_for_label_and_hair_and_gender_for_group(tmp_path, zipped):
    lists, images = celeba()
    write(tmp_path / "celeba", lists)
    inside = {f"img_align_celeba/{name}": content for name, content in images.items()}
    if zipped:
        packed(tmp_path / "celeba/img_align_celeba.zip", inside)
    else:
        write(tmp_path / "celeba", inside)
    info = prepare("celeba_hair", tmp_path / "out", tmp_path, check_sums=False)
    assert info.sizes == {"train": 4, "validation": 4, "test": 4} and info.group_counts["test"] == [1, 1, 1, 1]
    data = npy_store.load(tmp_path / "out", "validation")
    assert data.images.shape == (4, 3, 64, 64)
    by_level = dict(zip(levels(data), zip(data.labels.tolist(), data.groups.tolist(), strict=True), strict=True))
    assert by_level == {20 * number: (number % 2, 2 * (number % 2) + (number % 4 > 1)) for number in range(4, 8)}


def test_celebas_check_sums_are_checked(tmp_path, monkeypatch):
    lists, images = celeba()
    write(tmp_path / "celeba", lists)
    packed(
        tmp_path / "celeba/img_align_celeba.zip",
        {f"img_align_celeba/{name}": content for name, content in images.items()},
    )
    with pytest.raises(Unavailable, match=r"list_attr_celeba\.txt does not have .*75e246fa4810816ffd6ee81facbd244c"):
        prepare("celeba_hair", tmp_path / "out", tmp_path)
    mine = [
        (number, md5_of(tmp_path / "celeba" / name) if (tmp_path / "celeba" / name).exists() else md5, name)
        for number, md5, name in CelebA.file_list
    ]
    monkeypatch.setattr(CelebA, "file_list", mine)
    assert prepare("celeba_hair", tmp_path / "out", tmp_path).sizes["test"] == 4


def test_a_missing_image_is_named(tmp_path):
    lists, images = celeba()
    write(tmp_path / "celeba", lists)
    del images["000005.jpg"]
    write(tmp_path / "celeba/img_align_celeba", images)
    with pytest.raises(Unavailable, match=r"has no image 000005\.jpg"):
        prepare("celeba_hair", tmp_path / "out", tmp_path, check_sums=False)


def waterbirds(count=12):
    rows = ["img_id,img_filename,y,split,place,place_filename"]
    images = {}
    for number in range(count):
        name = f"{number:03d}.Bird/Bird_{number}.jpg"
        rows.append(f"{number},{name},{number % 2},{number // 4},{int(number % 4 > 1)},/f/forest/{number}.jpg")
        images[name] = jpeg(20 * number, (200, 150))
    return {f"{NAME}/{name}": content for name, content in {"metadata.csv": "\n".join(rows), **images}.items()}


@pytest.mark.parametrize("archived", [False, True])
def test_waterbirds_have_bird_for_label_and_bird_and_place_for_group(tmp_path, archived):
    if archived:
        tarred(tmp_path / f"{NAME}.tar.gz", waterbirds())
    else:
        write(tmp_path, waterbirds())
    info = prepare("waterbirds", tmp_path / "out", tmp_path, check_sums=False)
    assert info.group_counts == {split: [1, 1, 1, 1] for split in npy_store.SPLITS}
    data = npy_store.load(tmp_path / "out", "test")
    by_level = dict(zip(levels(data), zip(data.labels.tolist(), data.groups.tolist(), strict=True), strict=True))
    assert by_level == {20 * number: (number % 2, 2 * (number % 2) + (number % 4 > 1)) for number in range(8, 12)}
    assert not (tmp_path / "downloads/unpacked/out").exists()


def halves(left, right, size):
    """An image of two grey levels, the left half and the right one."""
    image = Image.new("RGB", size, (left,) * 3)
    image.paste((right,) * 3, (size[0] // 2, 0, *size))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("key", ["celeba_hair", "waterbirds", "tiny_imagenet"])
def test_each_image_size_is_cut_from_the_middle_and_scaled(tmp_path, key):
    if key == "celeba_hair":
        lists, images = celeba()
        write(tmp_path / "celeba", lists)
        write(tmp_path / "celeba/img_align_celeba", dict.fromkeys(images, halves(0, 200, (178, 218))))
    elif key == "waterbirds":
        contents = waterbirds()
        photograph = halves(0, 200, (200, 150))
        write(tmp_path, {name: photograph if name.endswith("jpg") else text for name, text in contents.items()})
    else:
        images = {
            name: content if isinstance(content, str) else halves(0, 200, (64, 64)) for name, content in tiny().items()
        }
        write(tmp_path / "tiny-imagenet-200", images)
    for side in (48, 96):
        prepare(key, tmp_path / f"out{side}", tmp_path, image_size=side, check_sums=False)
        test = npy_store.load(tmp_path / f"out{side}", "test").images
        assert test.shape[1:] == (3, side, side)
        # the edge stays in the middle, whatever was cut off
        assert (test[:, :, :, : side // 2 - 2] == 0).all() and (test[:, :, :, side // 2 + 2 :] == 200).all()


def test_incomplete_waterbirds_are_refused(tmp_path):
    contents = waterbirds()
    write(tmp_path, contents)
    with pytest.raises(Unavailable, match="has 4 images of the train split, expected 4795"):
        prepare("waterbirds", tmp_path / "out", tmp_path)
    (tmp_path / NAME / "003.Bird/Bird_3.jpg").unlink()
    with pytest.raises(Unavailable, match=r"has no image 003\.Bird/Bird_3\.jpg"):
        prepare("waterbirds", tmp_path / "out", tmp_path, check_sums=False)


def test_an_archive_that_unpacks_elsewhere_is_refused(tmp_path):
    tarred(tmp_path / f"{NAME}.tar.gz", waterbirds() | {"../../evil.txt": "x"})
    with pytest.raises(Unavailable, match="can't be unpacked"):
        prepare("waterbirds", tmp_path / "out", tmp_path, check_sums=False)
    assert not list(tmp_path.rglob("evil.txt")) and not (tmp_path.parent / "evil.txt").exists()
    assert not (tmp_path / "downloads/unpacked/out").exists()


def tiny(each=4):
    wnids = ["n01443537", "n01629819"]
    contents = {
        "wnids.txt": "\n".join(wnids),
        "val/val_annotations.txt": "".join(
            f"val_{number}.JPEG\t{wnids[number % 2]}\t0\t0\t62\t62\n" for number in range(6)
        ),
    }
    contents |= {
        f"train/{wnid}/images/{wnid}_{number}.JPEG": jpeg(100 * label + 10 * number)
        for label, wnid in enumerate(wnids)
        for number in range(each)
    }
    contents |= {f"val/images/val_{number}.JPEG": jpeg(40 * number) for number in range(6)}
    contents |= {"test/images/test_0.JPEG": jpeg(255), "train/n01443537/n01443537_boxes.txt": "x"}
    return contents


@pytest.mark.parametrize("zipped", [False, True])
def test_tiny_imagenet_is_tested_on_its_validation_images(tmp_path, zipped):
    if zipped:
        packed(
            tmp_path / "tiny-imagenet-200.zip",
            {f"tiny-imagenet-200/{name}": content for name, content in tiny().items()},
        )
    else:
        write(tmp_path / "tiny-imagenet-200", tiny())
    info = prepare("tiny_imagenet", tmp_path / "out", tmp_path, check_sums=False)
    assert info.sizes == {"train": 6, "validation": 2, "test": 6}
    test = npy_store.load(tmp_path / "out", "test")
    assert test.labels.tolist() == [0, 1] * 3 and levels(test) == [40 * number for number in range(6)]
    assert np.bincount(npy_store.load(tmp_path / "out", "train").labels).tolist() == [3, 3]


def test_tiny_imagenets_check_sum_and_numbers_are_checked(tmp_path):
    packed(
        tmp_path / "tiny-imagenet-200.zip", {f"tiny-imagenet-200/{name}": content for name, content in tiny().items()}
    )
    with pytest.raises(Unavailable, match="90528d7ca1a48142e341f4ef8d21d0de"):
        prepare("tiny_imagenet", tmp_path / "out", tmp_path)
    (tmp_path / "tiny-imagenet-200.zip").unlink()
    write(tmp_path / "tiny-imagenet-200", tiny())
    with pytest.raises(Unavailable, match="contains 2 classes with 8 training and 6 validation images, expected 200"):
        prepare("tiny_imagenet", tmp_path / "out", tmp_path)
