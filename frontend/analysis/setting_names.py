"""Settings of specs, by dotted path, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from densitylab.frontend.analysis.formatting import readable, title
from densitylab.frontend.client.catalog import Catalog

SETTING_LABELS = {
    "lambda_": "λ",
    "batch_size": "batch size",
    "train_samples": "training images",
    "init_from": "start",
    "interface.mean": "normalisation: mean",
    "interface.std": "normalisation: deviation",
}


def setting_label(name: str, settings: Mapping[str, Any], catalog: Catalog) -> str:
    """Return the setting's name in words; `settings` has the key of the component that it belongs to."""
    if name in SETTING_LABELS:
        return SETTING_LABELS[name]
    kind, _, rest = name.partition(".")
    if rest == "key":
        return kind
    entry = catalog.entry(kind, str(settings.get(f"{kind}.key")))
    param = next((param for param in entry.params if rest == f"params.{param.name}"), None) if entry else None
    return title(param).lower() if param else readable(name.rpartition(".")[2])


def setting_text(name: str, settings: Mapping[str, Any], catalog: Catalog) -> str:
    """Return the value of the setting in words."""
    value = settings.get(name)
    if value is not None and name.endswith(".key"):
        return catalog.label(name.partition(".")[0], str(value))
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:g}"
    if name in ("source", "init_from") and value is not None:
        return str(value)
    return "—" if value is None else readable(str(value))


def settings_text(settings: Mapping[str, Any], names: Sequence[str], catalog: Catalog) -> str:
    """Return these settings in words; the label of a component, and the name of a file, need no prefix."""
    return ", ".join(
        setting_text(name, settings, catalog)
        if name.endswith(".key") or name == "source"
        else f"{setting_label(name, settings, catalog)} {setting_text(name, settings, catalog)}"
        for name in names
        if name in settings and not (name == "lambda_" and settings[name] is None)
    )
