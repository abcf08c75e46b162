"""Controls for what the columns of a table, or arrays, hold."""

from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import RegistrationPreview

_NONE = ""
_ROLES = {"image": "Images", "label": "Label", "split": "Split", "group": "Group", "mask": "Masks"}


def choose_columns(found: RegistrationPreview) -> dict[str, Any]:
    """Draw a choice of column for each role, as the preview recognised them; return fields of the request."""
    names = [column.name for column in found.columns]
    role_of = {column.role: column.name for column in found.columns}
    st.caption("Columns as they were recognised; change them and preview again.")
    columns: dict[str, Any] = {}
    for cell, (role, title) in zip(st.columns(len(_ROLES)), _ROLES.items(), strict=True):
        columns[role] = cell.selectbox(
            title,
            [_NONE, *names],
            index=names.index(role_of[role]) + 1 if role in role_of else 0,
            key=f"register-{found.id}-{role}",
            format_func=lambda name: name or "—",
        )
    left, right = st.columns(2)
    rest = [name for name in names if name not in columns.values()]
    columns["attributes"] = left.multiselect(
        "Attributes",
        rest,
        [column.name for column in found.columns if column.role == "attribute" and column.name in rest],
        key=f"register-{found.id}-attributes",
        help="Properties of the images, which are stored with them; groups can be made of them at each evaluation.",
        select_all=False,
    )
    crossed = right.multiselect(
        "Groups: the label crossed with",
        columns["attributes"],
        [name for name in found.grouped_by if name in columns["attributes"]],
        key=f"register-{found.id}-groups",
        disabled=bool(columns["group"]),
        help="Used by training and, unless they name others, by evaluations. Empty: no groups.",
        select_all=False,
    )
    unknown = not found.counts and not crossed  # the images could not be read, so there is nothing to keep
    return {"columns": columns, "group_by": None if columns["group"] or unknown else crossed}
