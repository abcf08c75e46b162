"""The studies of the catalog, each with its question and its sizes; the chosen one with its launch."""

import streamlit as st

from densitylab.backend.shared.contracts.catalog import CatalogEntry
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.analysis.study_text import SIZE_LABELS, price_text
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.studies.launching import show_launch


def show_offers() -> None:
    """Draw a card for each study; the link names the study and the size that is about to be launched."""
    chosen_key, chosen_size = st.query_params.get("key"), st.query_params.get("size")
    entries = catalog().entries("study")
    if chosen_key and chosen_key not in [entry.key for entry in entries]:
        st.error(f"There is no study {escaped(chosen_key)}.", icon=":material/link_off:")
    for entry in entries:
        with st.container(border=True):
            _show_offer(entry)
            size = next((item for item in entry.sizes if item.key == chosen_size), None)
            if entry.key == chosen_key and size is not None:
                show_launch(entry, size)


def _show_offer(entry: CatalogEntry) -> None:
    text, sizes = st.columns([5, 4], vertical_alignment="center")
    origin = f" From the plug-in {entry.plugin.package} {entry.plugin.version}." if entry.plugin else ""
    text.markdown(f"**{escaped(entry.label)}**  \n{escaped(entry.question)}")
    text.caption(escaped(entry.summary + origin))
    with sizes:
        for size in entry.sizes:
            name = SIZE_LABELS[size.key]
            st.page_link(
                "app_pages/studies.py",
                label=f"{name[:1].upper()}{name[1:]}: {price_text(size.minutes)} on {size.hardware}",
                icon=":material/rocket_launch:",
                query_params={"key": entry.key, "size": size.key},
            )
