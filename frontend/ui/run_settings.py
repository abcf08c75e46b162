"""The settings of a run as a table, with the spec and the provenance as JSON behind it."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import Origin, Run
from densitylab.frontend.analysis.formatting import counted, escaped, readable
from densitylab.frontend.analysis.run_settings import Setting, run_settings
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.folded import folded

_MARK = "●"


def show_run_settings(run: Run, catalog: Catalog) -> None:
    """Draw what differs from the defaults, and behind it all settings, the spec and the provenance."""
    settings = run_settings(run, catalog)
    differing = [item for item in settings if item.differs]
    st.header("Settings")
    if differing:
        _show(differing)
    else:
        st.caption("All settings are the defaults.")
    all_settings = f"All {counted(len(settings), 'setting')}; {_MARK} differs from the default"
    folded(all_settings, lambda: _show(settings), key="all-settings")
    spec = "Spec as JSON" if run.origin is Origin.TRAINED else "Network, data set, evaluations as JSON"
    provenance = run.provenance or {"unknown": "recorded when the run starts"}
    left, right = st.columns(2)
    with left:
        folded(spec, lambda: st.json(run.known_spec), key="spec-json")
    with right:
        folded("Provenance: code, packages, data", lambda: st.json(provenance), key="provenance-json")


def _show(settings: Sequence[Setting]) -> None:
    rows = [
        {
            "Setting": f"{_MARK if item.differs else ' '} {escaped(_name(item))}",
            "Value": f"**{escaped(item.value)}**" if item.differs else escaped(item.value),
            "Default": escaped(item.default),
        }
        for item in settings
    ]
    st.table(pd.DataFrame(rows), hide_index=True, width="content")


def _name(item: Setting) -> str:
    part = readable(item.part)
    return item.name if not part or item.name == part else f"{part}: {item.name}"
