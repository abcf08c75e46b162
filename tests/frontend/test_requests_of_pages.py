"""No code of the page sends a request where an error of it would reach the reader as a traceback."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from densitylab.frontend.client import ApiClient

ROOT = Path(__file__).parents[2] / "frontend"
ROOMS = ("ui", "app_pages", "launch_form", "import_form", "explore")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
ENTRY_POINTS = ROOT / "ui" / "entry_points.py"
SENDING = ("_post(", "_make(", "_patch(", "_delete(", "_put(", "'POST'", "'DELETE'")
CALLBACKS = ("on_click", "on_change", "on_submit", "on_select")


def name(node: ast.AST) -> str:
    """The dotted name of an expression, of a call that of its function."""
    if isinstance(node, ast.Call):
        return name(node.func)
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def changes() -> set[str]:
    """Methods of the client that send a body or change something."""
    found = set()
    for path in (ROOT / "client" / "resources").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.AsyncFunctionDef):
                text = ast.unparse(function)
                if any(word in text for word in SENDING):
                    found.add(function.name)
    return found


def unguarded(tree: ast.AST, methods: set[str]) -> Iterator[ast.Call]:
    """Calls of these methods of `api()` that stand neither in `with show_api_errors` nor in a guarded function."""

    def visit(node: ast.AST, guarded: bool) -> Iterator[ast.Call]:
        if isinstance(node, ast.With):
            guarded |= any(name(item.context_expr) == "show_api_errors" for item in node.items)
        if isinstance(node, ast.FunctionDef):
            guarded = any(name(item) in ("guarded", "st.cache_data") for item in node.decorator_list)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "api()"
            and node.func.attr in methods
            and not guarded
        ):
            yield node
        for child in ast.iter_child_nodes(node):
            yield from visit(child, guarded)

    return visit(tree, False)


def test_the_client_s_changes_are_known():
    assert changes() >= {"launch", "change_run", "add_runs", "evaluate", "prepare_dataset", "register_archive"}
    assert all(hasattr(ApiClient, method) for method in changes() if not method.startswith("_"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_change_is_sent_where_its_error_is_shown(path: Path):
    allowed = {"act_on_runs", "preflight"}  # of helpers that are called within a dialog, and of the cost
    calls = unguarded(ast.parse(path.read_text()), changes() - allowed)
    assert [f"line {call.lineno}: {ast.unparse(call.func)}" for call in calls] == []


@pytest.mark.parametrize("path", [path for path in FILES if path != ENTRY_POINTS], ids=lambda path: path.name)
def test_fragments_dialogs_and_callbacks_are_guarded(path: Path):
    tree = ast.parse(path.read_text())
    bare = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert [ast.unparse(node) for node in bare if ast.unparse(node) in ("st.fragment", "st.dialog")] == []
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        for keyword in call.keywords:
            function = functions.get(name(keyword.value)) if keyword.arg in CALLBACKS else None
            if function is not None and "api()" in ast.unparse(function):
                decorators = [name(item) for item in function.decorator_list]
                assert "guarded" in decorators, f"{function.name} is a callback that sends a request"


def test_what_the_tests_above_look_for_is_found():
    tree = ast.parse("def f():\n    api().launch(x)\nwith show_api_errors(fields):\n    api().launch(y)")
    assert [call.lineno for call in unguarded(tree, {"launch"})] == [2]
