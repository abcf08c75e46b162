"""The preview of a registration: counts, sizes, columns, images, and what is wrong."""

import pandas as pd
import streamlit as st
from markupsafe import Markup

from densitylab.backend.shared.contracts import RegistrationPreview
from densitylab.frontend.analysis.formatting import counted, escaped
from densitylab.frontend.assets import read_asset, template

_LAYOUTS = {
    "folders": "one folder per class",
    "table": "a table of images",
    "arrays": "arrays",
    "pattern": "a pattern of paths",
}


def show_preview(found: RegistrationPreview) -> None:
    """Draw the preview."""
    total = sum(count.train + count.validation + count.test for count in found.counts)
    st.markdown(f"**Preview**: {_LAYOUTS.get(found.layout, 'no data set')}, {counted(total, 'image')}")
    if found.problems:
        lines = "  \n".join(escaped(problem) for problem in found.problems)
        st.error(f"They can't be registered like this:  \n{lines}", icon=":material/error:")
    for note in found.notes:
        st.caption(escaped(note))
    _show_counts(found)
    if found.columns:
        with st.expander("Columns", expanded=bool(found.problems)):
            st.dataframe(
                pd.DataFrame(
                    [
                        {
                            "Column": column.name,
                            "Read as": column.role or "passed over",
                            "Different values": column.distinct,
                            "Examples": ", ".join(column.examples),
                            "Reason": column.reason,
                        }
                        for column in found.columns
                    ]
                ),
                hide_index=True,
            )
    if found.sizes:
        sizes = ", ".join(f"{size.height} × {size.width} ({size.images:,})" for size in found.sizes[:5])
        more = f" and {len(found.sizes) - 5} more" if len(found.sizes) > 5 else ""
        st.caption(f"Sizes of {counted(found.sized, 'image')}: {sizes}{more}" + ", with masks" * found.has_mask)
    if found.images:
        st.html(_images_html(found))
    if found.passed_over_count:
        with st.expander(f"Passed over: {counted(found.passed_over_count, 'file')}"):
            more_files = found.passed_over_count - len(found.passed_over)
            st.text("\n".join(found.passed_over) + (f"\nand {more_files:,} more" if more_files else ""))


def _show_counts(found: RegistrationPreview) -> None:
    """Draw the images per class, group and split, the smallest group first."""
    rows = [
        {
            "Class": found.class_names[count.label],
            **({"Group": found.group_names[count.group]} if count.group is not None else {}),
            "Train": count.train,
            "Validation": count.validation,
            "Test": count.test,
        }
        for count in found.counts
    ]
    if rows:
        st.dataframe(pd.DataFrame(rows), hide_index=True)


def _images_html(found: RegistrationPreview) -> str:
    images = [
        {
            "index": image.split,
            "url": image.image,
            "mask": None,
            "label": ", ".join([image.label, *list(image.values.values())[:3]]),
        }
        for image in found.images
    ]
    style = Markup(read_asset("app_pages/dataset_images.css"))
    return template("app_pages/dataset_images.html.jinja").render(style=style, images=images)
