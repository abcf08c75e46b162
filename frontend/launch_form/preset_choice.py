"""The presets of the Launch page."""

import streamlit as st

from densitylab.frontend.client.presets import PRESETS
from densitylab.frontend.launch_form.draft import start_from


def draw_presets() -> None:
    """Draw the popover with a button per preset that fills the form."""
    with st.popover("Presets", icon=":material/list_alt:"):
        for preset in PRESETS:
            minutes = f"{preset.minutes:g} min" if preset.minutes >= 1 else f"{preset.minutes * 60:.0f} s"
            st.markdown(f"**{preset.label}**")
            st.caption(f"{preset.summary} About {minutes} on two CPU cores.")
            if st.button("Use this preset", key=f"preset-{preset.key}"):
                start_from(preset.request)
                st.query_params.from_dict({"preset": preset.key})
                st.rerun()
