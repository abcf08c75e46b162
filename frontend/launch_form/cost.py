"""The cost of a launch, from the API, and what is wrong with the request."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import ExperimentRequest, Preflight, RunSpec
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.client import ApiError
from densitylab.frontend.ui.api import api, caller
from densitylab.frontend.ui.field_errors import FieldErrors


@st.cache_data(ttl=10, max_entries=50, show_spinner=False)
def _preflight(caller: str, request_json: str) -> Preflight:
    return api().preflight(ExperimentRequest.model_validate_json(request_json))


def price(request: ExperimentRequest) -> Preflight:
    """Return the cost. Raises ApiError."""
    return _preflight(caller(), request.model_dump_json())


def estimate(request: ExperimentRequest, errors: FieldErrors) -> Preflight | None:
    """Return the cost; None where the API does not know it. Fields that a launch would refuse go to `errors`."""
    try:
        return price(request)
    except ApiError as error:
        errors.add(error.errors)
        if not error.errors:
            st.caption(f":orange[:material/warning: The cost is unknown: {escaped(str(error))}]")
    return None


def with_values(request: ExperimentRequest, values: Mapping[str, Any]) -> ExperimentRequest:
    """Return the request with these values, by dotted path into its spec."""
    spec = RunSpec.model_validate(request.spec).model_dump(mode="json")
    for path, value in values.items():
        *parents, last = path.split(".")
        node = spec
        for parent in parents:
            node[parent] = node[parent] or {}
            node = node[parent]
        node[last] = value
    return request.model_copy(update={"spec": ExperimentRequest(spec=spec).spec})
