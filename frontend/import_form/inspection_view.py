"""Content of an inspected file, in plain words."""

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import FittingModel, Inspection, Misfits
from densitylab.frontend.analysis.formatting import counted, escaped, size
from densitylab.frontend.analysis.misfits import HEADING, left_out, misfit_rows

_TYPES = {"float16": "half precision", "bfloat16": "half precision (bfloat16)", "float64": "double precision"}
MAX_CLASSES = 10


def show_inspection(found: Inspection) -> None:
    """Draw the facts of the file as a list, and its tensors as a table."""
    st.markdown(f"**{escaped(found.file_name)}**, {size(found.bytes)}")
    st.markdown("\n".join(f"- {fact}" for fact in _facts(found)))
    with st.expander("Tensors of the file"):
        st.dataframe(
            pd.DataFrame(
                [
                    {"Name": item.name, "Shape": " × ".join(map(str, item.shape)) or "a number", "Type": item.dtype}
                    for item in found.shapes
                ]
            ),
            hide_index=True,
        )
        left_out = found.tensors - len(found.shapes)
        if left_out > 0:
            st.caption(f"The first and last ones; {counted(left_out, 'tensor')} between them not shown.")
        st.caption(f"SHA-256 of the file: `{found.sha256}`")
    if found.entries:
        with st.expander("Other entries of the file"):
            st.json(found.entries)


def show_misfits(misfits: Misfits) -> None:
    """Draw the weights that do not fit as a table; nothing if all fit."""
    if not misfits.total:
        return
    st.markdown(f"**{counted(misfits.total, 'weight')} not fitting**")
    rows = misfit_rows(misfits)
    st.dataframe(pd.DataFrame(rows, columns=list(HEADING)), hide_index=True, height=min(37 + 35 * len(rows), 320))
    more = left_out(misfits)
    if more is not None:
        st.caption(more)


def _facts(found: Inspection) -> list[str]:
    where = f"under {escaped(found.weights_key)}" if found.weights_key else "at the top level"
    facts = [
        f"Format: {escaped(found.format)}, read without running code",
        f"Weights: {counted(found.tensors, 'tensor')} with {found.parameters:,} numbers, {where}",
    ]
    others = [f"{escaped(part.key) or 'top level'} ({part.tensors})" for part in found.parts]
    if len(others) > 1:
        facts.append(f"Parts with weights: {', '.join(others)}")
    if found.removed_prefix:
        facts.append(f"Prefix of the names, removed: {escaped(found.removed_prefix)}")
    converted = [words for dtype, words in _TYPES.items() if dtype in found.dtypes]
    if converted:
        facts.append(f"Stored in {' and '.join(converted)}; converted to single precision")
    if found.channels is not None:
        facts.append(f"Takes images of {counted(found.channels, 'channel')}")
    if found.outputs is not None:
        facts.append(f"Outputs: {found.outputs:,}")
    names = ", ".join(map(escaped, found.class_names[:MAX_CLASSES]))
    more = f" and {len(found.class_names) - MAX_CLASSES} more" if len(found.class_names) > MAX_CLASSES else ""
    facts.append(f"Class names: {names}{more}" if names else "Class names: none in the file")
    return facts


def proposal_text(model: FittingModel) -> str:
    """Return a proposed network with how well it fits."""
    params = ", ".join(f"{name} = {value}" for name, value in model.params.items())
    fit = "every weight fits" if model.complete else f"{model.matching:,} of {model.weights:,} weights fit"
    return f"{model.label}{f' ({params})' if params else ''}: {fit}"
