"""Learning rates at which each network leaves chance: short runs on the embedded digits.

    python -m benchmarks.learning_rates MODEL [MODEL ...] [--steps 60] [--batch 50] [--seeds 2] [--threads 1]
        [--optimizer sgd] [--rates 0.1,0.03] [--activations relu,gelu] [--out FOLDER]

The images are the 5,000 digits, padded to 32×32 pixels. A run makes its steps with a constant rate and no penalty, and
its figure is the accuracy on 500 other images afterwards, in eval mode; chance is 0.1. The rates in the catalog
(`learning_rates` of a model) leave chance in all runs and are below those that diverge. Writes
learning-rates.json and prints a table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from benchmarks.markdown import markdown
from benchmarks.steps import hardware
from densitylab.backend.shared.catalog import Catalog, ModelEntry
from densitylab.worker.datasets.digits import digits
from densitylab.worker.models.normalise import Normalise
from densitylab.worker.resolve import build_optimizer, component

CATALOG = Catalog.built_in()
RATES = {"sgd": (0.1, 0.03, 0.01, 0.003), "adam": (1e-3, 3e-4, 1e-4), "adamw": (1e-3, 3e-4, 1e-4)}
SIDE, CLASSES, HELD_OUT = 32, 10, 500


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return x (5000, 1, 32, 32) in [0, 1] and y, in a random order."""
    pixels, labels = (torch.from_numpy(array) for array in digits())
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(pixels.reshape(-1, 1, 28, 28).float() / 255, (2, 2, 2, 2))
    return padded[order], labels[order].long()


def accuracy(
    model: ModelEntry, activation: str | None, optimizer: str, rate: float, steps: int, batch: int, seed: int
) -> float:
    """Return the accuracy on held-out images after a short run; NaN if its loss is not finite."""
    x, y = images()
    torch.manual_seed(seed)
    params = {} if activation is None else {"activation": activation}
    build = component(CATALOG, "model", model.key, params).function
    network = torch.nn.Sequential(Normalise((0.1307,), (0.3081,)), build(1, (SIDE, SIDE), CLASSES)).train()
    stepper = build_optimizer(CATALOG, optimizer, {"lr": rate}, network.parameters())
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = HELD_OUT + torch.randint(len(y) - HELD_OUT, (batch,), generator=draw)
        stepper.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x[chosen]), y[chosen])
        if not loss.isfinite():
            return float("nan")
        loss.backward()
        stepper.step()
    network.eval()
    with torch.no_grad():
        right = sum(int((network(x[i : i + 50]).argmax(1) == y[i : i + 50]).sum()) for i in range(0, HELD_OUT, 50))
    return right / HELD_OUT


def main() -> None:
    parser = argparse.ArgumentParser(description="Find the learning rates at which networks leave chance.")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--optimizer", choices=tuple(RATES))
    parser.add_argument("--rates", type=lambda text: tuple(map(float, text.split(","))))
    parser.add_argument("--activations", type=lambda text: text.split(","))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = []
    for key in given.models:
        model = CATALOG.find(ModelEntry, key)
        for activation in given.activations if given.activations and model.param("activation") else [None]:
            for optimizer in [given.optimizer] if given.optimizer else RATES:
                for rate in given.rates or RATES[optimizer]:
                    found = [
                        accuracy(model, activation, optimizer, rate, given.steps, given.batch, seed)
                        for seed in range(given.seeds)
                    ]
                    rows.append(
                        {
                            "model": key,
                            "activation": activation or "default",
                            "optimizer": optimizer,
                            "rate": rate,
                            "accuracies": found,
                        }
                    )
                    print(*rows[-1].values(), flush=True)
    heading = (
        f"{hardware(torch.device('cpu'))}; torch {torch.__version__}; {given.steps} steps of {given.batch} digits; "
        f"{time.strftime('%Y-%m-%d')}"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "learning-rates.json").write_text(json.dumps({"heading": heading, "rows": rows}, indent=1) + "\n")
    cells = [
        (*map(str, list(row.values())[:4]), ", ".join(f"{value:.2f}" for value in row["accuracies"])) for row in rows
    ]
    print(heading, markdown(("model", "activation", "optimizer", "rate", "accuracy per seed"), cells), sep="\n\n")


if __name__ == "__main__":
    main()
