"""Processor milliseconds per image of passes over 250 images in micro-batches of several sizes, on one thread.

    python -m benchmarks.micro_batches [--rounds 3]

For each network: a forward pass, a gradient by the image with all activations kept, and one whose activations are
computed again. Sizes alternate; the table has medians. `worker/evaluations/micro_batch_size.py` follows from it.
"""

import argparse
import os
import statistics
import time
from collections import defaultdict

import torch
from torch import Tensor, nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.evaluations.micro_batch_size import MicroBatchSize, activation_bytes
from densitylab.worker.evaluations.micro_batches import MicroBatched
from densitylab.worker.resolve import build_model

CATALOG = Catalog.built_in()
NETWORKS = {"mlp": "blockmnist", "cnn": "blockmnist", "resnet18": "cifar10"}
IMAGES, SIZES = 250, (16, 32, 64, 124, 250)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"load average {os.getloadavg()[0]:.1f}, {rounds} rounds, ms per image")
    print(f"| network, pass | KiB of an image | {' | '.join(map(str, SIZES))} |")
    print(f"| --- | ---: | {'---: | ' * len(SIZES)}".rstrip())
    for key, name in NETWORKS.items():
        dataset = CATALOG.find("dataset", name)
        model = build_model(CATALOG, key, {}, dataset).eval()
        x = torch.rand(IMAGES, dataset.channels or 1, *(dataset.image_size or ()))
        seconds: dict[tuple[str, int], list[float]] = defaultdict(list)
        for _ in range(rounds):
            for size in SIZES:
                for label, kept, gradient in (
                    ("forward", IMAGES, False),
                    ("gradient", IMAGES, True),
                    ("gradient, computed again", 1, True),
                ):
                    if size == IMAGES and kept < IMAGES:
                        continue  # it is not split
                    network = model if size == IMAGES else MicroBatched(model, MicroBatchSize(size, kept))
                    seconds[label, size].append(measured(network, x, gradient))
        needed = activation_bytes(model, x[:1]) / 1024
        for label in dict.fromkeys(label for label, _ in seconds):
            taken = {size: seconds.get((label, size)) for size in SIZES}
            cells = [f"{1000 * statistics.median(each) / IMAGES:.3f}" if each else "" for each in taken.values()]
            print(f"| {key}, {label} | {needed:.0f} | {' | '.join(cells)} |", flush=True)


def measured(network: nn.Module, x: Tensor, gradient: bool) -> float:
    """Return the processor seconds of a pass."""
    began = time.process_time()
    with torch.set_grad_enabled(gradient):
        inputs = x.detach().requires_grad_(gradient)
        density = network(inputs).logsumexp(dim=1).sum()
        if gradient:
            torch.autograd.grad(density, inputs)
    return time.process_time() - began


if __name__ == "__main__":
    main()
