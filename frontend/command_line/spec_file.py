"""Spec files: an ExperimentRequest in YAML or JSON."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from frontend.command_line.outcome import WrongInput


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as YAML 1.2 and JSON do; PyYAML, which keeps to 1.1, reads it as text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def read_spec(path: str) -> dict[str, Any]:
    """The file's content, or that of standard input for "-". Raises WrongInput where it is no mapping."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    try:
        content = json.loads(text) if path.endswith(".json") else yaml.load(text, _Loader)
    except json.JSONDecodeError as error:
        raise WrongInput(f"{path}, line {error.lineno}: this is not JSON: {error.msg}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        raise WrongInput(f"{where}: this is not YAML: {getattr(error, 'problem', None) or error}.") from None
    if not isinstance(content, dict):
        raise WrongInput(f"{path}: expected a mapping with name, spec and sweep, as POST /api/v1/experiments takes it.")
    return content
