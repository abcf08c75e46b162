"""Source of a run that was not trained here: its accuracy first, then how its file was read."""

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import ModelInterface, NormalizationCheck, Origin, Run, RunSource
from densitylab.backend.shared.statistics.selection import ACCURACY
from densitylab.frontend.analysis.formatting import counted, escaped, size
from densitylab.frontend.analysis.origins import ORIGINS

MAX_NAMES = 10


def show_source(run: Run) -> None:
    """Draw the accuracy of a model that was trained elsewhere, and all that is known of where it comes from."""
    st.header("Accuracy on the test images")
    show_accuracy(run)
    st.header("Source")
    source = run.source
    facts = [f"{ORIGINS[run.origin].capitalize()}, not trained here"]
    if source is not None:
        facts.append(f"**{escaped(source.file_name)}**" + (f", {size(source.bytes)}" if source.bytes else ""))
        if source.format:
            facts.append(_reading(source))
        if source.text:
            facts.append(f"From: {escaped(source.text)}")
    known = f"{run.lambda_:g}, as stated by whoever recorded it" if run.lambda_ is not None else "not known"
    facts.append(f"λ of its training: {known}")
    if run.spec.interface is not None:
        facts.append(_interface(run.spec.interface))
    st.markdown("\n".join(f"- {fact}" for fact in facts))
    if source is not None and source.sha256:
        st.caption("SHA-256 of the file")
        st.code(source.sha256, language=None)
    if source is not None:
        _show_left_out(source)
        if source.normalization_check is not None:
            show_normalization_check(source.normalization_check)
    params = run.provenance.get("params") if run.origin is Origin.LOGGED else None
    if params:
        with st.expander("Settings of the training, as they were logged"):
            st.json(params)


def show_accuracy(run: Run) -> None:
    """Draw the accuracy on the test images with its interval and n."""
    accuracy = run.results.get(ACCURACY)
    if accuracy is None or accuracy.value is None:
        st.caption("Not evaluated yet.")
        return
    st.metric("Accuracy", f"{accuracy.value:.4f}", label_visibility="collapsed")
    if accuracy.low is not None and accuracy.high is not None:
        st.caption(f"95 % interval {accuracy.low:.4f} to {accuracy.high:.4f}, n = {accuracy.n:,}")


def _reading(source: RunSource) -> str:
    """Return how the file was read."""
    parts = [f"Format: {escaped(source.format)}"]
    if source.weights_key:
        parts.append(f"weights under {escaped(source.weights_key)}")
    if source.removed_prefix:
        parts.append(f"prefix {escaped(source.removed_prefix)} removed from the names")
    return "; ".join(parts)


def _interface(interface: ModelInterface) -> str:
    """Return how images and classes pass between the data set and the network."""
    scale = "0 to 255" if interface.value_range == "byte" else "0 to 1"
    grey = interface.mean is not None and len(interface.mean) == 1
    parts = [f"{'grey images' if grey else f'images in {interface.channel_order.upper()}'}, values {scale}"]
    if interface.mean is not None and interface.std is not None:
        parts.append(f"mean {_numbers(interface.mean)}, deviation {_numbers(interface.std)}")
    if interface.image_size is not None:
        height, width = interface.image_size
        parts.append(f"resized to {height} × {width}")
    if interface.class_order is not None:
        parts.append(f"classes in another order, of {interface.outputs or len(interface.class_order)} outputs")
    return "The network gets: " + "; ".join(parts)


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _show_left_out(source: RunSource) -> None:
    """Draw the weights that a partial load left out."""
    for names, sentence in (
        (source.missing, "of the network were not in the file, and stayed random"),
        (source.unexpected, "of the file are not in the network, and were left out"),
    ):
        if names:
            shown = ", ".join(map(escaped, names[:MAX_NAMES]))
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            st.warning(f"{counted(len(names), 'tensor')} {sentence}: {shown}{more}.", icon=":material/rule:")


def show_normalization_check(check: NormalizationCheck) -> None:
    """Draw the outcome of the normalisation check in a sentence, and its accuracies as a table."""
    st.header("Normalisation check")
    draw = st.success if check.decided else st.warning
    draw(escaped(check.summary), icon=":material/check:" if check.decided else ":material/help:")
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "": "✓ used" if index == check.chosen else "",
                    "Normalisation": trial.label,
                    "Accuracy": f"{trial.accuracy:.4f}",
                    "95 % interval": f"{trial.low:.4f} to {trial.high:.4f}",
                    "n": trial.n,
                    "Mean": _numbers(trial.mean),
                    "Deviation": _numbers(trial.std),
                }
                for index, trial in enumerate(check.trials)
            ]
        ),
        hide_index=True,
        column_config={
            "": st.column_config.TextColumn(width="small"),
            "n": st.column_config.NumberColumn(width="small"),
        },
    )
    st.caption(
        f"Accuracies on {escaped(check.split)} images; a normalisation that is clearly worse on the first ones saw no "
        "others. If the model was trained on these images, its accuracies here are higher than on the test images."
    )
