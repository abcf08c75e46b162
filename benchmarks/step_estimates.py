"""Time of a training step as the launch form estimates it, against its measured time on one CPU core.

    python -m benchmarks.step_estimates

Prints a row for each network and penalty: estimated and measured milliseconds, and their ratio. Measured is the lowest
processor time of four steps, so that other processes on the machine change little.
"""

import time

import torch

from densitylab.backend.services.estimates import cost_model
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog, ModelEntry, RegularizerEntry, network_cost
from densitylab.worker.resolve import build_model, component
from densitylab.worker.training.objective import objective

CATALOG = Catalog.built_in()
NETWORKS = [
    *(("cnn", {"width": width, "activation": name}) for width in (8, 16, 32, 64) for name in ("relu", "gelu")),
    ("mlp", {"hidden": 64}),
    ("mlp", {}),
    ("vgg11", {"width": 16}),
    ("resnet18", {}),
]
PENALTIES = [("marginal_density", 0.0), ("marginal_density", 1.0), ("adversarial_training", 1.0)]
DATASET, STEPS = "textured_digits", 4
BATCH, SMALLER = 100, {"resnet18": 25}  # images, and of networks that are slow


def measured_seconds(model: torch.nn.Module, x: torch.Tensor, regularizer: str, lambda_: float) -> float:
    """Return the lowest processor time of a step, after one that is not timed."""
    labels = torch.arange(len(x)) % 10
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    penalty = component(CATALOG, RegularizerEntry, regularizer)
    seconds = []
    for step in range(1 + STEPS):
        begin = time.process_time()
        optimizer.zero_grad()
        terms = objective(
            model,
            x.clone(),
            labels,
            regularizer=penalty.function,
            uses=penalty.entry.uses,
            masks=None,
            lambda_=lambda_,
            step=step,
            every=1,
            generator=torch.Generator().manual_seed(step),
        )
        terms.loss.backward(inputs=list(model.parameters()))
        optimizer.step()
        seconds.append(time.process_time() - begin)
    return min(seconds[1:])


def main() -> None:
    torch.set_num_threads(1)
    dataset = CATALOG.dataset(DATASET, {})
    ratios = []
    for key, chosen in NETWORKS:
        _, params = specs.complete_params(CATALOG, "model", key, chosen, "", [])
        model = build_model(CATALOG, key, params, dataset)
        network = network_cost(CATALOG.find(ModelEntry, key), params, dataset)
        assert network is not None
        batch = SMALLER.get(key, BATCH)
        x = torch.rand(batch, dataset.channels, *dataset.image_size)
        for regularizer, lambda_ in PENALTIES:
            _, own = specs.complete_params(CATALOG, "regularizer", regularizer, {}, "", [])
            passes = cost_model.passes(CATALOG.find(RegularizerEntry, regularizer), own, lambda_)
            assert passes is not None
            told = cost_model.step_seconds(network, passes, batch, 1)
            seconds = measured_seconds(model, x, regularizer, lambda_)
            ratios.append(told / seconds)
            name = f"{key} {' '.join(map(str, chosen.values()))}, {regularizer} λ = {lambda_:g}"
            print(f"{name:55} {told * 1e3:8.1f} ms {seconds * 1e3:8.1f} ms {ratios[-1]:6.2f}", flush=True)
    print(f"ratios from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
