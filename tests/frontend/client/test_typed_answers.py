"""Every method of the client says what it returns."""

import inspect
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from densitylab.frontend.client.clients import Routes

METHODS = {
    name: item._function
    for kind in Routes.__mro__
    for name, item in vars(kind).items()
    if not name.startswith("_") and hasattr(item, "_function")
}


def mentions_any(hint: Any) -> bool:
    return hint is Any or hint is inspect.Parameter.empty or any(map(mentions_any, get_args(hint)))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_returns_no_any(name: str):
    answer = get_type_hints(METHODS[name], localns={"np": np})["return"]
    assert not mentions_any(answer)


def test_all_methods_are_tried():
    assert len(METHODS) > 40 and {"launch", "wait", "events", "draw", "artifact_arrays"} <= METHODS.keys()
