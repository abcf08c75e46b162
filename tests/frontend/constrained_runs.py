"""Runs whose best λ depends on a second constraint."""

from tests.frontend.conftest import LiveApi


def constrained_runs(live_api: LiveApi) -> list[int]:
    """PGD accuracy grows with λ, and the leakage share, here the higher the better, falls at λ = 10."""
    evaluations = [{"key": "pgd_linf", "params": {"epsilons": [0.05]}}, {"key": "leakage"}]
    run_ids = live_api.launch({"evaluations": evaluations}, {"lambda_": [0, 1, 10], "seed": [0, 1]})
    for index, run_id in enumerate(run_ids):
        step, noise = index // 2, index % 2 / 1000
        values = {"accuracy__accuracy": 0.9 - noise, "pgd_linf__accuracy": 0.1 + step / 10 + noise}
        live_api.finish(run_id, **values, leakage__share=(0.5, 0.48, 0.3)[step] + noise)
    return run_ids
