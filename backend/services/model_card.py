"""The model card of a run: README.md of its export, with the metadata that the Hugging Face Hub reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from densitylab.backend.shared.catalog import Catalog, EvaluationEntry
from densitylab.backend.shared.contracts import Evaluation, ModelConfig, Origin, Run, Status, Value

_LINES = """\
import densitylab, torch

model = densitylab.load_model(".")  # this folder; needs the packages densitylab and torch
images = torch.rand(4, {shape})  # in [0, 1]: the model normalises by itself
print(model(images).softmax(dim=1))  # {classes} classes
"""


def model_card(
    catalog: Catalog,
    run: Run,
    evaluations: Sequence[Evaluation],
    config: ModelConfig,
    *,
    hashes: Mapping[str, str],
    checkpoint: str | None,
) -> str:
    """Return the card as Markdown.

    Args:
        catalog: has the names of components and metrics.
        run: whose model it is.
        evaluations: of the run.
        config: the model's config.json.
        hashes: SHA-256 of each exported file, by its name.
        checkpoint: SHA-256 of the checkpoint that they are made of; None: not known.
    """
    finished = [item for item in evaluations if item.status is Status.SUCCEEDED]
    parts = [
        f"---\n{_front_matter(catalog, run, finished)}---",
        f"# {_title(catalog, run)}",
        _opening(catalog, run, config),
        "## Use\n\n```python\n"
        + _LINES.format(shape=", ".join(map(str, [config.channels, *config.image_size])), classes=config.num_classes)
        + "```",
        _data(catalog, run, config),
        _settings(run),
        _results(catalog, finished),
        _flags(run, finished),
        _origin(run, checkpoint),
        "## Files\n\n| file | SHA-256 |\n| --- | --- |\n"
        + "\n".join(f"| {name} | `{digest}` |" for name, digest in hashes.items()),
        _limits(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(catalog: Catalog, run: Run, finished: Sequence[Evaluation]) -> str:
    dataset = run.spec.dataset.key
    metrics = [
        {
            "type": "accuracy" if (item.key, name) == ("accuracy", "accuracy") else f"{item.name}.{name}",
            "name": f"{_metric(catalog, item, name)} (n = {value.n}{_interval(value)})",
            "value": value.value,
        }
        for item in finished
        if item.split == "test"
        for name, value in item.values.items()
        if value.value is not None
    ]
    content: dict[str, Any] = {
        "library_name": "densitylab",
        "license": "unknown",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "pytorch", "safetensors", run.spec.regularizer.key.replace("_", "-")],
    }
    if metrics:
        result = {
            "task": {"type": "image-classification", "name": "Image classification"},
            "dataset": {"type": dataset, "name": _label(catalog, "dataset", dataset), "split": "test"},
            "metrics": metrics,
        }
        content["model-index"] = [{"name": _title(catalog, run), "results": [result]}]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _title(catalog: Catalog, run: Run) -> str:
    if run.name is not None:
        return run.name
    spec = run.spec
    parts = [_label(catalog, "model", spec.model.key), _label(catalog, "dataset", spec.dataset.key)]
    if run.origin is Origin.TRAINED:
        parts.append(f"{_label(catalog, 'regularizer', spec.regularizer.key)}, λ = {spec.lambda_:g}")
    return ", ".join(parts)


def _opening(catalog: Catalog, run: Run, config: ModelConfig) -> str:
    spec = run.spec
    network, data = _label(catalog, "model", spec.model.key), _label(catalog, "dataset", spec.dataset.key)
    if run.origin is Origin.TRAINED:
        how = (
            f"trained on {data} with {_label(catalog, 'regularizer', spec.regularizer.key)} at λ = {spec.lambda_:g}, "
            f"for {spec.epochs} epochs with seed {spec.seed}"
        )
    elif run.origin is Origin.IMPORTED:
        how = f"imported, not trained here, and evaluated on {data}"
    else:
        how = f"trained by a loop of its author's, not by DensityLab, and evaluated on {data}"
    text = f"Image classifier ({network}), {how}. It is run {run.id} of a DensityLab."
    if run.checkpoint_step:
        text += f" Its weights are those after {run.checkpoint_step:,} steps."
    if config.plugin is not None:
        text += (
            f" Its network is of the plug-in {config.plugin.package} {config.plugin.version}, which loading it needs."
        )
    return text


def _data(catalog: Catalog, run: Run, config: ModelConfig) -> str:
    height, width = config.image_size
    lines = [
        f"- {_label(catalog, 'dataset', run.spec.dataset.key)} (`{run.spec.dataset.key}`"
        + (f" with {_params(run.spec.dataset.params)})" if run.spec.dataset.params else ")"),
        f"- images: {config.channels} × {height} × {width}, values in [0, 1]",
        f"- classes, in the order of the logits: {_cell(', '.join(config.class_names) or config.num_classes)}",
        f"- hash of the prepared data: `{run.provenance.get('data_hash', 'not known')}`",
    ]
    if config.interface is None:
        lines.append(f"- normalisation, a layer of the model: mean {config.mean or 'none'}, std {config.std or 'none'}")
    else:
        given = config.interface.model_dump(exclude={"channel_order"} if config.channels == 1 else None)
        lines.append(f"- layers around the network: {_params(given)}")
    return "## Data\n\n" + "\n".join(lines)


def _settings(run: Run) -> str:
    if run.origin is not Origin.TRAINED:
        return ""
    dumped = run.spec.model_dump(mode="json", exclude={"evaluations", "dataset"})
    rows = []
    for name, value in dumped.items():
        if value is not None:
            rows.append(f"| {name} | {_cell(_text(value))} |")
    return (
        "## Settings\n\n`densitylab launch spec.yaml` trains this run again.\n\n| setting | value |\n| --- | --- |\n"
        + "\n".join(rows)
    )


def _results(catalog: Catalog, finished: Sequence[Evaluation]) -> str:
    rows = [
        f"| {_cell(_metric(catalog, item, name))} | {_number(value.value)} | {_number(value.low)} to "
        f"{_number(value.high)} | {value.n} |"
        for item in finished
        if item.split == "test"
        for name, value in item.values.items()
    ]
    if not rows:
        return "## Results\n\nNothing was evaluated."
    return (
        "## Results\n\nOn test images. Parameters that are not the defaults are in parentheses; intervals are of 95 %."
        "\n\n| metric | value | interval | n |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + _parameters(catalog, finished)
    )


def _parameters(catalog: Catalog, finished: Sequence[Evaluation]) -> str:
    """Return the complete parameters of the evaluations that have some, as a list."""
    lines = [
        f"- {_label(catalog, 'evaluation', item.key)} (`{item.name}`): {_cell(_params(item.params))}"
        for item in finished
        if item.split == "test" and item.params
    ]
    return "\n\nParameters of the evaluations:\n\n" + "\n".join(lines) if lines else ""


def _flags(run: Run, finished: Sequence[Evaluation]) -> str:
    texts = [flag.text for flag in run.flags] + [flag.text for item in finished for flag in item.flags]
    return "## Warnings\n\n" + "\n".join(f"- {text}" for text in dict.fromkeys(texts)) if texts else ""


def _origin(run: Run, checkpoint: str | None) -> str:
    lines = [
        f"- spec hash: `{run.provenance.get('spec_hash', 'not known')}`",
        f"- SHA-256 of the checkpoint: `{checkpoint or 'not known'}`",
    ]
    if run.source is not None:
        lines.append(f"- file: {run.source.file_name}, SHA-256 `{run.source.sha256 or 'not known'}`")
        if run.source.text:
            lines.append(f"- source: {_cell(run.source.text)}")
    lines += [f"- ancestor: run {item.run} ({item.mode})" for item in run.lineage.ancestors]
    for package, used in run.provenance.get("plugins", {}).items():
        lines.append(f"- plug-in: {package} {used['version']}")
    recorded = ("version", "commit", "torch")
    versions: dict[str, Any] = {name: run.provenance[name] for name in recorded if name in run.provenance}
    if versions:
        lines.append(f"- versions: {_params(versions)}")
    return "## Origin\n\n" + "\n".join(lines)


def _limits(run: Run) -> str:
    lines = [
        "- The results hold for the test split of the data above, and for one seed.",
        "- The model gives a class for every image, whatever it shows.",
    ]
    if run.spec.lambda_ > 0 and run.origin is Origin.TRAINED:
        lines.append(
            "- A regularizer of input gradients also makes them smaller: compare scale-free measures besides "
            "absolute ones."
        )
    lines.append("- No licence is stated: that of the data applies, and the author's has to be added.")
    return "## Limits\n\n" + "\n".join(lines)


def _metric(catalog: Catalog, item: Evaluation, name: str) -> str:
    """Return the name of a metric in words, with the parameters of its evaluation that are not the defaults."""
    entry = catalog.by_kind["evaluation"].get(item.key)
    if not isinstance(entry, EvaluationEntry):
        return f"{item.name}: {name}"
    changed = {
        param.name: item.params[param.name]
        for param in entry.params
        if param.name in item.params and item.params[param.name] != param.default
    }
    labels = {metric.name: _filled(metric.label, item.params) for metric in entry.metrics}
    label = labels.get(name, f"{entry.label}: {name.replace('_', ' ')}")
    return f"{label} ({_params(changed)})" if changed else label


def _filled(label: str, params: Mapping[str, Any]) -> str:
    """Return a metric's label with the parameters that it names in braces; of several values it is of the first."""
    for name, value in params.items():
        first = value[0] if isinstance(value, list) and value else value
        label = label.replace(f"{{{name}}}", str(first))
    return label


def _interval(value: Value) -> str:
    if value.low is None or value.high is None:
        return ""
    return f", 95 % interval {_number(value.low)} to {_number(value.high)}"


def _label(catalog: Catalog, kind: str, key: str) -> str:
    entry = catalog.by_kind[kind].get(key)
    return key if entry is None else entry.label


def _params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in params.items() if value is not None)


def _text(value: Any) -> str:
    """Return a parameter's value in words: of a component its key with its parameters, of a list its items."""
    if isinstance(value, dict) and "key" in value:
        return f"{value['key']} ({_params(value['params'])})" if value.get("params") else str(value["key"])
    if isinstance(value, dict):
        return _params(value)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
