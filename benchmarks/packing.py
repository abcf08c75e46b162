"""Seconds of preparing 60,000 images of 32×32: `python -m benchmarks.packing`. Goal: under 60 s on two cores.

Measures a folder of JPEG files, where every image is decoded, and arrays in memory, like CIFAR's batches.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from densitylab.worker.datasets import image_folder, image_source, npy_store
from densitylab.worker.datasets.arrays import store

CLASSES = 10


def pictures(count: int) -> np.ndarray:
    """Return (N, 32, 32, 3) smooth random colors, whose JPEG files are about as large as those of photographs."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def write_files(root: Path, images: np.ndarray) -> None:
    for label in range(CLASSES):
        (root / f"class-{label}").mkdir(parents=True)
    for number, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=90)
        (root / f"class-{number % CLASSES}" / f"{number}.jpg").write_bytes(file.getvalue())


@contextmanager
def clocked(what: str) -> Iterator[None]:
    """Print the wall-clock time and the processor time, which other work on the machine does not lengthen."""
    began, worked = time.perf_counter(), time.process_time()
    yield
    print(
        f"{what}: {time.perf_counter() - began:.2f} s, {time.process_time() - worked:.2f} s processor time", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60_000)
    count = parser.parse_args().images
    quiet = {"progress": lambda share: None, "should_stop": lambda: False}
    images = pictures(count)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root / "files", images)
        with (
            clocked(f"{count:,} JPEG files, checked, decoded and packed"),
            image_source.opened(root / "files") as files,
        ):
            image_folder.register(root / "a", files, **quiet)

        arrays, labels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)), np.arange(count) % CLASSES
        held = count // 6
        with clocked(f"{count:,} images from arrays, split and packed"):
            store(
                root / "b",
                (arrays[held:], labels[held:]),
                (arrays[:held], labels[:held]),
                num_classes=CLASSES,
                data_seed=0,
                **quiet,
            )
        with clocked("all three splits opened"):
            for split in npy_store.SPLITS:
                npy_store.load(root / "a", split)


if __name__ == "__main__":
    main()
