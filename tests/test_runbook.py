"""Every message that the runbook quotes is one of the product's, and every setting and command exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from densitylab.backend.shared.settings import Settings
from densitylab.cli import COMMANDS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^> (.+)$", TEXT, re.M)


@cache
def constants() -> str:
    """Return all texts of the code, those between the values of f-strings too."""
    files = [file for room in ("backend", "worker") for file in sorted((ROOT / room).rglob("*.py"))]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    # The values of a log line are %d, %s and %.0f
    texts = (re.sub(r"%[.\d]*[a-z]", "\0", node.value) for node in nodes if isinstance(node.value, str))
    return "\0".join(texts)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_one_of_the_product(message: str):
    parts = [part.strip() for part in message.split("…")]
    assert [part for part in parts if part not in constants()] == []


def test_messages_settings_and_commands():
    assert len(MESSAGES) >= 15
    settings = {name.removeprefix("DENSITYLAB_").lower() for name in re.findall(r"DENSITYLAB_[A-Z_]*[A-Z]", TEXT)}
    assert settings and settings <= set(Settings.model_fields)
    assert set(re.findall(r"\bdensitylab ([a-z]+)", TEXT)) <= COMMANDS.keys()


def test_each_section_says_what_is_lost():
    sections = re.split(r"^## ", TEXT, flags=re.M)[2:]  # after the introduction and "Look first"
    assert len(sections) >= 10
    assert [section.splitlines()[0] for section in sections if "**Lost:**" not in section] == []
