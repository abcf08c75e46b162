"""Parameters that components got when specs without them were stored already."""

from collections.abc import Mapping
from typing import Any

# By kind and key: the values that a spec without them means
LATER_PARAMS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "model": {"vgg11": {"width": 64}},
    "regularizer": {"input_gradient": {"estimator": "double_backward"}},
}
