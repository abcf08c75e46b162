"""An image that is registered and the same image uploaded: the same pixels, or the same reason for refusal."""

import os
import resource
import subprocess

import numpy as np
import pytest

from densitylab.backend.services import uploads
from densitylab.backend.shared import images
from densitylab.worker.datasets import image_folder, image_source, npy_store
from densitylab.worker.datasets.image_folder import BadFolder
from tests.every_image import every_image

SIZE = (16, 12)  # of another shape than the images: both are cropped and scaled
ENDLESS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n{ } loop\n"


def registered(root, content, other):
    """The pixels (N, 3, H, W) of the image under every suffix beside another class, or the reasons for its refusal."""
    for suffix in images.SUFFIXES:
        for name, data in ((f"cats/0{suffix}", content), (f"dogs/0{suffix}", other)):
            (root / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "in" / name).write_bytes(data)
    with image_source.opened(root / "in") as tree:
        try:
            image_folder.register(
                root / "out", tree, images, image_size=SIZE, progress=lambda share: None, should_stop=lambda: False
            )
        except BadFolder as error:
            return {line.partition(" can't be read: ")[2] for line in str(error).splitlines()[1:]}
    parts = [npy_store.load(root / "out", split) for split in npy_store.SPLITS]
    return np.concatenate([part.images[part.labels == 0].numpy() for part in parts])


@pytest.fixture
def no_processes(monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError("a process was started")

    for name in ("fork", "posix_spawn", "system", "execv", "forkpty"):
        monkeypatch.setattr(os, name, forbidden)
    for name in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, forbidden)


@pytest.mark.slow
def test_each_format_and_mode_under_each_suffix_gives_the_same_both_ways(tmp_path, no_processes):
    whole = every_image()
    contents = [*whole, ("EPS endless", ENDLESS), ("nothing", b""), ("text", b"hello")]
    contents += [(f"{name} cut", content[: len(content) * 2 // 3]) for name, content in whole]
    other = dict(whole)["PNG RGB"]
    assert len(contents) > 160
    before, read = 0, 0
    for number, (name, content) in enumerate(contents):
        if number == 20:  # after the libraries have been loaded
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        (tmp_path / str(number)).mkdir()
        found = registered(tmp_path / str(number), content, other)
        try:
            pixels, _ = uploads.fit(content, 3, SIZE)
        except uploads.BadImage as error:
            assert found == {str(error).partition(" can't be read: ")[2]}, name
        else:
            assert len(found) == len(images.SUFFIXES) and (found == pixels).all(), name
            read += 1
    assert read > 40
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
