"""Attribution jobs, in this process, on a real database and real files."""

import io

import numpy as np
import pytest
import torch

from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import DensityRequest, EvaluationSpec, Status, TaskKind
from densitylab.backend.shared.store import attributions, evaluations, run_artifacts, uploads
from densitylab.worker.jobs import attribute, density, evaluate, explain, train


def _ask(lab, **request) -> int:
    with lab.database.write() as session:
        return attributions.create(
            session,
            {
                "runs": request["runs"],
                "method": request.get("method", "gradient"),
                "params": request.get("params", {}),
                "samples": {"split": request.get("split", "test"), "indices": request.get("indices", [0, 3, 5])},
                "target": request.get("target", "label"),
                "perturbation": request.get("perturbation"),
            },
            "hash",
        )


def _maps(lab, attribution_id: int) -> tuple[contracts.Attribution, dict[str, np.ndarray]]:
    with lab.database.read() as session:
        attribute.run(attributions.get(session, attribution_id).task)
    with lab.database.read() as session:
        answer, location = attributions.get(session, attribution_id), attributions.location(session, attribution_id)
    if location is None:
        return answer, {}
    with np.load(io.BytesIO(lab.artifacts.read(location)), allow_pickle=False) as arrays:
        return answer, dict(arrays)


@pytest.fixture(scope="module")
def trained(shared_lab) -> list[int]:
    """Two trained runs, with a penalty and without."""
    members = []
    for lambda_ in (0.1, 0.0):
        run_id, task_id = shared_lab.launch(lambda_=lambda_)
        train.run(task_id)
        members.append(run_id)
    return members


@pytest.fixture
def lab(shared_lab, trained):
    return shared_lab


def test_maps_of_two_runs(lab, trained):
    first, second = trained
    answer, arrays = _maps(lab, _ask(lab, runs=[first, second], target="predicted"))
    assert answer.status == Status.SUCCEEDED, answer.error
    assert arrays["attributions"].shape == (2, 3, 1, 56, 28) and arrays["attributions"].dtype == np.float32
    assert arrays["images"].shape == (3, 1, 56, 28) and arrays["masks"].shape == (3, 1, 56, 28)
    assert arrays["predicted"].shape == arrays["confidence"].shape == (2, 3)
    assert arrays["runs"].tolist() == [first, second] and arrays["indices"].tolist() == [0, 3, 5]
    assert answer.limit == pytest.approx(np.percentile(np.abs(arrays["attributions"]), 99), rel=1e-6)
    assert [(panel.run, panel.index) for panel in answer.panels] == [
        (run, i) for run in (first, second) for i in (0, 3, 5)
    ]
    for number, panel in enumerate(answer.panels):
        shown = arrays["attributions"].reshape(6, 56, 28)[number].astype(np.float64)
        mask = arrays["masks"][number % 3, 0]
        assert panel.leakage == pytest.approx(np.linalg.norm(shown[mask]))
        assert panel.leakage_share == pytest.approx(np.sum(shown[mask] ** 2) / np.sum(shown**2))
        assert panel.target == panel.predicted == arrays["predicted"].reshape(6)[number]
        assert not panel.zero and not panel.nan
    # the plain gradient, without Captum and without our job
    weights = lab.weights(second)
    x = torch.from_numpy(arrays["images"]).float().div(255).requires_grad_()
    hidden = x.flatten(1)
    layers = [name.removesuffix("weight") for name in weights if name.endswith("weight")]
    for index, layer in enumerate(layers):
        hidden = torch.nn.functional.linear(hidden, weights[f"{layer}weight"], weights[f"{layer}bias"])
        hidden = hidden.relu() if index + 1 < len(layers) else hidden
    hidden.max(dim=1).values.sum().backward()
    assert np.allclose(x.grad.numpy(), arrays["attributions"][1], atol=1e-6)


def test_impossible_maps_fail_with_the_reason(lab, trained):
    trained = trained[0]
    untrained, _ = lab.launch()
    other, task_id = lab.launch(dataset={"key": "blockmnist", "params": {"data_seed": 1}})
    train.run(task_id)
    for request, words in (
        ({"runs": [trained], "indices": [1000]}, "Sample 1000 does not exist"),
        ({"runs": [trained, 999]}, "Run 999 was deleted"),
        ({"runs": [trained, other]}, "trained on different data"),
    ):
        answer, _ = _maps(lab, _ask(lab, **request))
        assert answer.status == Status.FAILED and words in answer.error, answer.error
    answer, _ = _maps(lab, _ask(lab, runs=[untrained]))
    assert answer.status == Status.FAILED and f"Run {untrained} has no checkpoint" in answer.error
    # the next request works after failures
    assert _maps(lab, _ask(lab, runs=[trained]))[0].status == Status.SUCCEEDED


def test_limit_and_panel_of_zero_and_nan_maps():
    maps = np.zeros((1, 1, 1, 4, 2), np.float32)
    assert explain.colour_limit(maps) == 0.0
    maps[0, 0, 0, 0] = [np.nan, 2.0]
    assert 0.0 <= explain.colour_limit(maps) <= 2.0
    assert explain.colour_limit(np.full((1, 1, 1, 2, 2), np.inf, np.float32)) == 0.0


def test_a_perturbed_image_has_a_view_of_its_own_on_the_same_scale(lab, trained):
    run_id = trained[0]
    answer, arrays = _maps(lab, _ask(lab, runs=[run_id], perturbation={"key": "brightness", "params": {"amount": 0.2}}))
    assert answer.status == Status.SUCCEEDED, answer.error
    images = arrays["images"] / np.float32(255)
    assert np.allclose(arrays["perturbed_images"][0], np.clip(images + 0.2, 0, 1), atol=1e-6)
    both = np.stack([arrays["attributions"], arrays["perturbed_attributions"]])
    assert answer.limit == pytest.approx(np.percentile(np.abs(both), 99), rel=1e-6)
    delta = (arrays["perturbed_images"][0] - images).reshape(3, -1)
    for index, panel in enumerate(answer.panels):
        after = panel.perturbed
        assert after.delta_l2 == pytest.approx(np.linalg.norm(delta[index]), rel=1e-5)
        assert after.delta_linf == pytest.approx(0.2, rel=1e-5)
        one, other = (
            array[0, index].ravel().astype(float)
            for array in (arrays["attributions"], arrays["perturbed_attributions"])
        )
        assert after.similarity["cosine"] == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
        assert after.similarity["l2"] == pytest.approx(np.linalg.norm(one - other), rel=1e-5)
        assert panel.log_density == pytest.approx(arrays["log_density"][0, index])
        assert after.log_density != panel.log_density and after.leakage is not None


@pytest.mark.parametrize(
    "perturbation",
    [
        {"key": "noise", "params": {"sigma": 0.1}},
        {"key": "attack", "params": {"epsilon": 0.05, "steps": 3}},
        {"key": "shift", "params": {"right": 2, "down": 1}},
        {"key": "density_step", "params": {"epsilon": 0.5}},
        {"key": "brightness", "params": {"amount": -0.1}},
        {"key": "logit_step", "params": {"epsilon": 0.5}},
    ],
    ids=lambda perturbation: perturbation["key"],
)
@pytest.mark.few(1)
def test_the_metrics_of_maps_equal_those_of_the_evaluation(lab, trained, perturbation):
    run_id = trained[0]
    name = f"stability_{perturbation['key']}"
    with lab.database.write() as session:
        evaluations.create(
            session,
            run_id,
            EvaluationSpec(
                key="stability",
                name=name,
                params={"attribution": {"key": "gradient", "params": {}}, "perturbation": perturbation, "samples": 260},
            ),
        )
    item = lab.evaluations(run_id)[name]
    evaluate.run(item.task)
    assert lab.evaluations(run_id)[name].status == Status.SUCCEEDED, lab.evaluations(run_id)[name].error
    with lab.database.read() as session:
        stored = run_artifacts.artifact(session, run_id, f"{name}.npz")
    with np.load(io.BytesIO(lab.artifacts.read(stored.location)), allow_pickle=False) as kept:
        rows = {int(kept["indices"][row]): row for row in (255, 3, 7)}  # of both batches, in another order
        ask = _ask(lab, runs=[run_id], indices=list(rows), target="predicted", perturbation=perturbation)
        answer, _ = _maps(lab, ask)
        assert answer.status == Status.SUCCEEDED, answer.error
        for panel in answer.panels:
            shown = panel.perturbed
            assert set(shown.similarity) == {"cosine", "spearman", "ssim", "top_k", "relative_l2", "l2"}
            for measure, value in shown.similarity.items():
                assert value == pytest.approx(float(kept[measure][rows[panel.index]]), rel=1e-4, abs=1e-5), measure
            assert (shown.predicted != panel.predicted) == kept["changed"][rows[panel.index]]


def test_maps_of_an_uploaded_image(lab, trained):
    run_id = trained[0]
    pixels = np.random.default_rng(0).integers(0, 256, (1, 56, 28), dtype=np.uint8)
    with lab.database.write() as session:
        number = uploads.create(session, "blockmnist", content_hash="x", pixels=pixels.tobytes(), height=9, width=9).id
    answer, arrays = _maps(lab, _ask(lab, runs=[run_id], split="upload", indices=[number], target="predicted"))
    assert answer.status == Status.SUCCEEDED, answer.error
    assert (arrays["images"] == pixels).all() and "masks" not in arrays
    (panel,) = answer.panels
    assert (panel.label, panel.leakage, panel.target) == (None, None, panel.predicted)
    gone, _ = _maps(lab, _ask(lab, runs=[run_id], split="upload", indices=[99], target=0))
    assert gone.status == Status.FAILED and "upload it again" in gone.error


def test_slices_of_log_p_of_two_runs(lab, trained):
    first, second = trained
    request = DensityRequest(runs=[first, second], index=5, direction="image", towards=6, extent=2.0, steps=5)
    with lab.database.write() as session:
        number = attributions.create(session, request.model_dump(), "hash", TaskKind.DENSITY)
        task = attributions.density(session, number).task
    density.run(task)
    with lab.database.read() as session:
        result = attributions.density(session, number)
    assert result.status == Status.SUCCEEDED, result.error
    assert result.distances == [-2, -1, 0, 1, 2] == result.sides
    answer, _ = _maps(lab, _ask(lab, runs=[first, second], indices=[5]))
    for item, panel in zip(result.of_runs, answer.panels, strict=True):
        for same in (item.curve[2], item.plane[2][2], item.at_image):
            assert same == pytest.approx(panel.log_density, rel=1e-5)
        assert item.plane[2] == pytest.approx(item.curve, rel=1e-5)
        assert len({round(value, 6) for row in item.plane for value in row}) > 10 and item.slope > 0
