"""Record the examples of the OpenAPI document: real requests and answers of an idle, empty system.

    DENSITYLAB_WEBHOOK_PRIVATE=1 densitylab up
    python -m benchmarks.record_examples --url http://127.0.0.1:8000

writes `backend/api/openapi_examples.json`. Long lists are cut to two entries and long texts to their beginning.
"""

import argparse
import io
import json
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
HOOK, SHOWN_HOOK = "http://127.0.0.1:9/hook", "https://example.com/hook"  # the second may be out of reach
LONGEST_LIST, LONGEST_TEXT = 2, 300
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
LAUNCH = {
    "name": "first",
    "spec": {"epochs": 2, "train_samples": 500, "evaluations": [{"key": "leakage"}]},
    "sweep": {"lambda_": [0, 0.1], "seed": [0, 1]},
    "notes": "the effect of λ on a small network",
    "tags": ["tutorial"],
    "priority": "high",
}


class Recorder:
    """Calls operations by their ids and keeps what was sent and answered."""

    def __init__(self, url: str) -> None:
        self.api = httpx.Client(base_url=url, timeout=60)
        self.document = self.api.get("/openapi.json").json()
        self.paths = {
            operation["operationId"]: (method, path)
            for path, operations in self.document["paths"].items()
            for method, operation in operations.items()
        }
        self.recorded: dict[str, dict[str, Any]] = {}

    def call(self, operation: str, body: Any = None, *, files: Any = None, form: Any = None, **parameters: Any) -> Any:
        """Call an operation; parameters go to the path or the query. Return the answer."""
        method, path = self.paths[operation]
        named = {name for name in parameters if f"{{{name}}}" in path}
        answer = self.api.request(
            method,
            path.format(**parameters),
            params={name: value for name, value in parameters.items() if name not in named},
            json=body,
            files=files,
            data=form,
        )
        answer.raise_for_status()
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        is_text = answer.headers.get("content-type", "").startswith("text/")
        content = answer.json() if is_json else answer.text if is_text else None
        item = {
            "parameters": parameters,
            "request": body or form,
            "response": None if content is None else short(content),
        }
        self.recorded[operation] = {name: value for name, value in item.items() if value not in (None, {})}
        return content

    def events(self, operation: str, until: str, **parameters: Any) -> None:
        """Record the beginning of an event stream."""
        _, path = self.paths[operation]
        lines: list[str] = []
        with self.api.stream("GET", path.format(**parameters), headers={"Last-Event-ID": "0"}) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                if until in line:
                    break
        text = "\n".join(lines[: lines.index("") + 1] if "" in lines else lines) + "\n"
        self.recorded[operation] = {"parameters": {"last-event-id": 0, **parameters}, "response": text}


def short(value: Any) -> Any:
    """Return the value with short lists and texts."""
    if isinstance(value, list):
        return [short(item) for item in value[:LONGEST_LIST]]
    if isinstance(value, dict):
        return {name: short(item) for name, item in value.items()}
    if isinstance(value, str) and value.startswith("data:image/"):
        return PIXEL
    return value[:LONGEST_TEXT] if isinstance(value, str) else value


def record_logged(recorder: Recorder) -> None:
    call = recorder.call
    request = {"name": "my own loop", "dataset": {"key": "blockmnist"}, "epochs": 10, "params": {"lr": 0.001}}
    run = call("create_logged_run", request)["id"]
    points = [
        {"name": "loss", "step": 100, "value": 1.52, "epoch": 1.0, "seconds": 4.2},
        {"name": "validation/accuracy", "step": 100, "value": 0.71, "epoch": 1.0},
    ]
    call("log_points", {"points": points}, run_id=run)
    call("finish_logged_run", {"status": "succeeded"}, run_id=run)


def record_imported(recorder: Recorder, run: int) -> None:
    """Inspect and import the checkpoint of a trained run, as if it came from elsewhere."""
    call = recorder.call
    checkpoint = recorder.api.get(f"/api/v1/runs/{run}/artifacts/checkpoint.pt").content
    spec = recorder.api.get(f"/api/v1/runs/{run}").json()["spec"]
    file = {"file": ("colleague.pt", checkpoint)}
    request = {"dataset": spec["dataset"], "model": spec["model"], "source": "a colleague's, 2024"}
    task = call("inspect_model", files=file, form={"request": json.dumps({"dataset": spec["dataset"]})})
    while recorder.api.get(f"/api/v1/tasks/{task['id']}").json()["status"] != "succeeded":
        time.sleep(0.5)
    call("get_inspection", task_id=task["id"])
    imported = call("import_model", {**request, "upload": task["id"], "normalization": "dataset"})
    call("get_misfits", task_id=imported["id"])
    call("import_model_file", files=file, form={"request": json.dumps(request)})
    for operation in ("inspect_model", "import_model_file"):
        request = recorder.recorded[operation]["request"]
        recorder.recorded[operation]["request"] = {"file": "the file's bytes", **request}


def record_search(recorder: Recorder) -> None:
    """Launch a search for λ, and stop it once it has tried its first ones."""
    call = recorder.call
    spec = {**LAUNCH["spec"], "evaluations": [{"key": "pgd_linf", "params": {"samples": 100}}]}
    search = {"kind": "bracket", "result": "pgd_linf.accuracy", "seeds": [0], "max_candidates": 5}
    body = {"name": "search", "spec": spec, "search": search}
    number = recorder.api.post("/api/v1/experiments", json=body).raise_for_status().json()["id"]
    path = f"/api/v1/experiments/{number}"
    while len(recorder.api.get(path).raise_for_status().json()["runs"]) == 4:  # the baseline and three λ
        time.sleep(0.5)
    call("get_search", experiment_id=number)
    call("stop_search", experiment_id=number)
    while not recorder.api.get(path).json()["finished"]:
        time.sleep(0.5)


def record_study(recorder: Recorder) -> None:
    """Launch the smallest study, and read its report once it is measured."""
    call = recorder.call
    request = {"key": "scale", "size": "minutes", "datasets": {"blockmnist": "blockmnist"}}
    call("preflight_study", request)
    number = call("launch_study", request)["id"]
    while not call("get_study", study_id=number)["finished"]:
        time.sleep(1)
    call("list_studies", key="scale", size="minutes", limit=1)
    call("continue_study", study_id=number)
    call("get_study_report", study_id=number)
    call("delete_study", study_id=number)


def record_penalties(recorder: Recorder) -> None:
    call = recorder.call
    regularizer = {"key": "marginal_density", "params": {"p_norm": "1"}}
    spec = {"dataset": {"key": "blockmnist"}, "model": {"key": "mlp"}, "regularizer": regularizer}
    task = call("compare_penalties", {"spec": spec, "lambda_": 1.0, "seeds": [0, 1], "images": 256})
    while recorder.api.get(f"/api/v1/tasks/{task['id']}").json()["status"] in ("queued", "running"):
        time.sleep(0.3)
    call("get_penalties", task_id=task["id"])


def record_preview(recorder: Recorder) -> None:
    request = json.dumps({"image_size": [16, 16]})
    form = {"request": request}
    task = recorder.call("preview_archive", files={"archive": ("shades.zip", archive())}, form=form)
    recorder.recorded["preview_archive"]["request"] = {"archive": "the archive's bytes", "request": request}
    while recorder.api.get(f"/api/v1/tasks/{task['id']}").json()["status"] in ("queued", "running"):
        time.sleep(0.5)
    recorder.call("get_preview", task_id=task["id"])
    recorder.call("preview_folder", {"preview": task["id"], "group_by": []})


def record(recorder: Recorder) -> None:
    call = recorder.call
    for operation in ("get_health", "get_readiness", "get_catalog", "list_datasets", "get_system"):
        call(operation)
    call("preflight_experiment", LAUNCH)
    call("create_webhook", {"url": HOOK, "events": ["run.measured", "run.failed"]})
    experiment = call("launch_experiment", LAUNCH)
    number, runs = experiment["id"], experiment["runs"]
    call("preflight_runs", {"seeds": [2], "duplicates": "skip"}, experiment_id=number)
    added = call("add_runs", {"seeds": [2], "duplicates": "skip"}, experiment_id=number)
    call("cancel_run", run_id=added["added"][-1])
    while not call("get_experiment", experiment_id=number)["finished"]:
        time.sleep(1)
    call("retry_run", run_id=added["added"][-1])
    call("add_evaluation", {"key": "pgd_linf", "params": {"epsilons": [0.05]}, "name": "pgd_small"}, run_id=runs[0])
    while not call("get_experiment", experiment_id=number)["finished"]:
        time.sleep(1)
    call("list_experiments", limit=2)
    changes = {"name": "effect of λ", "notes": "λ = 0.1 is enough", "tags": ["tutorial"], "archived": False}
    call("change_experiment", changes, experiment_id=number)
    call("list_runs", experiment=number, sort="-results.accuracy.accuracy", limit=2)
    call("list_run_fields", experiment=number, fields=["id", "status", "results"], limit=2)
    call("export_runs", experiment=number)
    run = call("get_run", run_id=runs[2])
    changes = {"name": "weak smoothing", "tags": ["chosen"], "notes": "the best of them", "archived": False}
    call("change_run", changes, run_id=runs[2])
    call("get_run_metrics", run_id=runs[2], names="loss", max_points=100)
    call("get_metrics", run=runs[:2], names="loss")
    call("get_log", run_id=runs[2], limit=2)
    call("download_log", run_id=runs[2])
    artifacts = call("list_artifacts", run_id=runs[2])["items"]
    call("download_artifact", run_id=runs[2], name=artifacts[0]["name"])
    task = call("export_model", {"formats": ["safetensors", "torch_export"]}, run_id=runs[2])
    while call("get_task", task_id=task["id"])["status"] in ("queued", "running"):
        time.sleep(0.5)
    call("get_model_config", run_id=runs[2])
    call("download_export", run_id=runs[2])
    call("list_evaluations", run_id=runs[2])
    call("list_sample_values", run_id=runs[2], name="accuracy", array="confidence", order="lowest", limit=2)
    call("browse_samples", run=runs[2], limit=2)
    call("list_samples", key=run["spec"]["dataset"]["key"], limit=2)
    budgeted = {"result": "accuracy.accuracy", "accuracy_budget": 0.02}
    budgeted |= {"constraint_result": "leakage.share", "constraint_budget": 0.05}
    call("compare_runs", experiment=number, **budgeted)
    call("check_claim", first=runs[2:4], second=runs[:2], **budgeted)
    call("compare_images", first=runs[2], second=runs[0], result="accuracy.accuracy")
    maps = {
        "runs": [runs[0], runs[2]],
        "method": "smoothgrad",
        "params": {"samples": 8},
        "samples": {"split": "test", "indices": [0, 1]},
        "target": "predicted",
        "perturbation": {"key": "noise", "params": {"sigma": 0.1}},
    }
    call("preflight_attribution", maps)
    asked = call("ask_for_attribution", maps)
    while call("get_attribution", attribution_id=asked["id"])["status"] in ("queued", "running"):
        time.sleep(0.3)
    call("download_arrays", attribution_id=asked["id"])
    density = call("ask_for_density", {"runs": [runs[0], runs[2]], "index": 0, "steps": 11})
    while call("get_density", density_id=density["id"])["status"] in ("queued", "running"):
        time.sleep(0.3)
    record_penalties(recorder)
    upload = call("upload_image", files={"file": ("digit.png", picture(0), "image/png")}, dataset="blockmnist")
    recorder.recorded["upload_image"]["request"] = {"file": "the image's bytes"}
    call("get_upload", upload_id=upload["id"])
    task = call("prepare_dataset", {"params": {"data_seed": 1}}, key="blockmnist")
    call("get_dataset", key="blockmnist")
    call("get_task", task_id=task["id"])
    call("cancel_task", task_id=task["id"])
    request = json.dumps({"label": "Two shades", "image_size": [16, 16]})
    registered = call("register_archive", files={"archive": ("shades.zip", archive())}, form={"request": request})
    recorder.recorded["register_archive"]["request"] = {"archive": "the archive's bytes", "request": request}
    while call("get_task", task_id=registered["id"])["status"] in ("queued", "running"):
        time.sleep(0.5)
    record_preview(recorder)
    record_search(recorder)
    record_study(recorder)
    record_logged(recorder)
    record_imported(recorder, runs[0])
    call("act_on_runs", {"action": "archive", "runs": runs[:2], "dry_run": True})
    recorder.events("stream_events", until="run.running")
    recorder.events("stream_run", until="run.running", run_id=runs[2])
    hook = call("list_webhooks")["items"][0]["id"]
    call("get_webhook", webhook_id=hook)
    call("list_deliveries", webhook_id=hook)
    call("delete_webhook", webhook_id=hook)
    call("create_stream_token")
    call("explain_problem", name="not-found")
    token = call("create_token", {"name": "notebook of Ada", "read_only": True})
    call("list_tokens")
    call("get_token", token_id=token["id"])
    call("revoke_token", token_id=token["id"])
    call("list_changes", limit=2)
    call("get_monitoring")
    call("delete_run", run_id=runs[3])
    call("delete_experiment", experiment_id=number)
    call("remove_dataset", key="two_shades")
    recorder.recorded["register_folder"] = {
        "request": {"path": "birds.zip", "label": "Birds", "image_size": [64, 64]},
        "response": recorder.recorded["register_archive"]["response"],
    }


def picture(level: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((56, 28), level, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name, start in (("dark", 0), ("light", 180)):
            for number in range(20):
                written.writestr(f"{name}/{number}.png", picture(start + number))
    return file.getvalue()


def without_secrets(value: Any) -> Any:
    """Replace the secrets that are shown once."""
    if isinstance(value, Mapping):
        shown = {"token": "dl_shown_once", "secret": "whsec_shown_once"}
        return {
            name: shown[name] if name in shown and isinstance(item, str) else without_secrets(item)
            for name, item in value.items()
        }
    return [without_secrets(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the API (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "backend" / "api" / "openapi_examples.json")
    given = parser.parse_args()
    recorder = Recorder(given.url)
    record(recorder)
    recorded = without_secrets(dict(sorted(recorder.recorded.items())))
    text = json.dumps(recorded, indent=1, ensure_ascii=False).replace(HOOK, SHOWN_HOOK)
    given.out.write_text(text + "\n")
    left = sorted(set(recorder.paths) - set(recorded))
    print(
        f"{given.out.name}: {len(recorded)} operations" + (f"; without an example: {', '.join(left)}" if left else "")
    )


if __name__ == "__main__":
    main()
