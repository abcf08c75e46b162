"""Spec files: an ExperimentRequest in YAML or JSON."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from densitylab.backend.shared.contracts import exact_float
from densitylab.frontend.command_line.outcome import WrongInput


class _Loader(yaml.SafeLoader):
    """Read 1e-3 as a number, as YAML 1.2 and JSON do. PyYAML follows YAML 1.1 and reads it as text."""


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    number = loader.construct_yaml_float(node)
    return number or exact_float(node.value.replace("_", ""))


_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def read_spec(path: str) -> dict[str, Any]:
    """Return the content of a file, or of standard input for "-". Raises WrongInput if it is not a mapping."""
    try:
        text = sys.stdin.buffer.read().decode() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    try:
        content = json.loads(text, parse_float=exact_float) if path.endswith(".json") else yaml.load(text, _Loader)
    except json.JSONDecodeError as error:
        raise WrongInput(f"{path}, line {error.lineno}: this is not JSON: {error.msg}.") from None
    except ValueError as error:
        raise WrongInput(f"{path}: {error}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        raise WrongInput(f"{where}: this is not YAML: {getattr(error, 'problem', None) or error}.") from None
    if not isinstance(content, dict):
        raise WrongInput(f"{path}: expected a mapping with name, spec and sweep, as in POST /api/v1/experiments.")
    return content
