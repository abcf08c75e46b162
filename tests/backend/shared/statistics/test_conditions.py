"""Conditions beside the specs in which compared runs differ."""

from densitylab.backend.shared.contracts import Origin, Run
from densitylab.backend.shared.statistics.conditions import conditions_text, differing_conditions
from densitylab.backend.shared.statistics.groups import columns
from tests.backend.shared.statistics.runs_of_seeds import make_run

CPU, OTHER_CPU = "cpu (x86_64, 2 threads)", "cpu (x86_64, 1 thread)"
GPU, SECOND_GPU = "cuda:0 (NVIDIA H200)", "cuda:1 (NVIDIA H200)"


def run(device: str | None, *, version: int | None = None, precision: str | None = None, **evaluated: str) -> Run:
    made = make_run("a", 1, 0, results={"accuracy.accuracy": 0.9, "leakage.share": 0.4})
    own = {name: {"version": version, "device": evaluated.get("on", device)} for name in ("leakage",)}
    given = {"evaluated": own if version else {}, "precision": precision}
    return made.model_copy(update={"device": device, "provenance": {**made.provenance, **given}})


def named(runs: list[Run], result: str = "leakage.share") -> dict[str, list[str]]:
    chosen = [column for column in columns(runs) if column.result == result]
    return {item.name: list(item.runs) for item in differing_conditions(runs, chosen)}


def test_threads_numbers_of_devices_and_what_is_not_known_are_no_difference():
    assert named([run(CPU, version=2), run(OTHER_CPU, version=2), run(None)]) == {}
    assert named([run(GPU, version=2, precision="bfloat16"), run(SECOND_GPU, version=2)]) == {}


def test_device_precision_and_version_are_named_with_their_runs():
    runs = [run(CPU, version=2, precision="float32"), run(GPU, version=3, precision="bfloat16")]
    devices = ["cpu (x86_64)", "cuda (NVIDIA H200)"]
    assert named(runs) == {
        "device of the training": devices,
        "precision of the training": ["float32", "bfloat16"],
        "device of the evaluation leakage": devices,
        "version of the evaluation leakage": ["2", "3"],
    }
    text = conditions_text(differing_conditions(runs, columns(runs)))
    first, second = (item.id for item in runs)
    assert f"version of the evaluation leakage (2: run {first}; 3: run {second})" in text
    assert text.startswith("The runs differ in the device of the training (") and conditions_text([]) == ""


def test_only_the_shown_evaluations_count():
    runs = [run(CPU, version=2), run(CPU, version=3)]
    assert named(runs, "accuracy.accuracy") == {} and set(named(runs)) == {"version of the evaluation leakage"}


def test_a_model_from_elsewhere_has_no_device_of_its_training():
    imported = run(GPU, version=2, on=CPU).model_copy(update={"origin": Origin.IMPORTED})
    assert named([run(CPU, version=2), imported]) == {}


def test_many_runs_are_counted():
    runs = [run(CPU) for _ in range(7)] + [run(GPU)]
    text = conditions_text(differing_conditions(runs, columns(runs)))
    assert f"{', '.join(str(item.id) for item in runs[:5])} and 2 more" in text
