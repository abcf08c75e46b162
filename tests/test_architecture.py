"""The arrows between the rooms, read from the imports (lazy ones included)."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Among the folders of components, each may use those of its own and of earlier ranks
RANKS = [
    {"models", "datasets", "attacks", "attributions", "schedules", "lr_schedules", "augmentations"},
    {"perturbations", "regularizers"},
    {"evaluations"},
]
COMPONENTS = set.union(*RANKS)
DYNAMIC = ("importlib.import_module", "import_module", "__import__")
MACHINERY = {"rq", "redis", "valkey", "sqlalchemy", "alembic", "fastapi", "starlette", "uvicorn", "streamlit"}


def python_files(*rooms: str) -> list[Path]:
    return [file for room in rooms for file in sorted((ROOT / room).rglob("*.py"))]


def imports(file: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, wherever the statement stands; `from a import b` gives `a.b`."""
    package = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text(), filename=str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in DYNAMIC:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def within(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def foreign(name: str, *allowed: str) -> bool:
    """Of the backend, but none of what is allowed."""
    return within(name, "backend") and not within(name, *allowed)


def offences(files: list[Path], forbidden: Callable[[str], bool]) -> list[str]:
    assert files, "the rooms are empty: this test looks in the wrong place"
    return [f"{file.relative_to(ROOT)} imports {name}" for file in files for name in imports(file) if forbidden(name)]


def test_the_backend_knows_no_torch_no_worker_and_no_page():
    others = ("torch", "torchvision", "captum", "mlxtend", "sklearn", "worker", "frontend", "streamlit")
    assert offences(python_files("backend"), lambda name: within(name, *others)) == []


def test_shared_knows_nothing_of_the_rest_of_the_backend():
    found = offences(
        python_files("backend/shared"),
        lambda name: foreign(name, "backend.shared") or within(name, "fastapi", "starlette", "rq", "redis", "alembic"),
    )
    assert found == []


def test_only_the_queue_knows_rq():
    files = [file for file in python_files("backend") if file != ROOT / "backend" / "queue.py"]
    assert offences(files, lambda name: within(name, "rq")) == []


def test_the_launcher_starts_the_others_by_command_line_only():
    allowed = ("backend.shared", "backend.devices", "backend.migrate", "backend.supervisor")
    found = offences(
        [ROOT / "backend" / "launcher.py", ROOT / "backend" / "supervisor.py", ROOT / "backend" / "devices.py"],
        lambda name: foreign(name, *allowed),
    )
    assert found == []


def test_the_worker_knows_of_the_backend_only_what_is_shared():
    found = offences(
        python_files("worker"),
        lambda name: foreign(name, "backend.shared") or within(name, "frontend", "streamlit", "fastapi"),
    )
    assert found == []


@pytest.mark.parametrize("folder", sorted(name for name in COMPONENTS if (ROOT / "worker" / name).is_dir()))
def test_components_know_no_machinery_and_keep_their_order(folder: str):
    rank = next(number for number, names in enumerate(RANKS) if folder in names)
    later = [f"worker.{name}" for names in RANKS[rank + 1 :] for name in names]
    above = ["worker.jobs", "worker.main", "worker.training", "worker.checkpoints", "worker.resolve"]
    files = python_files(f"worker/{folder}")
    assert offences(files, lambda name: within(name, "backend", *MACHINERY, *later, *above)) == []


def test_training_knows_no_database():
    names = ("training", "objective", "batches", "sampling", "averaging", "arithmetic", "seeds")
    files = [ROOT / "worker" / f"{name}.py" for name in names]
    assert offences(files, lambda name: within(name, "worker.jobs", *MACHINERY)) == []


def test_every_folder_of_the_worker_has_its_rank():
    folders = {path.name for path in (ROOT / "worker").iterdir() if any(path.glob("*.py"))}
    assert folders - {"jobs"} <= COMPONENTS


def test_the_page_knows_the_contract_alone():
    found = offences(
        python_files("frontend"),
        lambda name: (
            foreign(name, "backend.shared.contracts")
            or within(name, "worker", "torch", "sqlalchemy", "redis", "rq", "fsspec")
        ),
    )
    assert found == []


def test_the_client_and_the_command_line_know_no_streamlit():
    assert offences(python_files("frontend/client", "frontend/command_line"),
                    lambda name: within(name, "streamlit", "frontend.parts")) == []


def test_charts_know_no_streamlit():
    assert offences([ROOT / "frontend" / "charts.py"], lambda name: within(name, "streamlit")) == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("backend.api.app", ("torch", "worker", "streamlit")),
        ("backend.reconciler", ("torch", "worker", "streamlit")),
        ("backend.launcher", ("torch", "worker", "streamlit", "fastapi", "backend.api")),
        ("backend.shared.contracts", ("torch", "sqlalchemy", "fastapi", "rq")),
    ],
)
def test_what_is_absent_after_the_import(module: str, absent: tuple[str, ...]):
    code = f"import {module}, sys; print([name for name in {absent!r} if name in sys.modules])"
    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert outcome.stderr == ""
    assert outcome.stdout.strip() == "[]"


def test_nothing_that_is_loaded_may_run_code():
    safe = {"allow_pickle": False, "weights_only": True}
    unsafe = []
    for file in python_files("backend", "worker", "frontend"):
        for node in ast.walk(ast.parse(file.read_text(), filename=str(file))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("np.load", "numpy.load", "torch.load"):
                continue
            name = "weights_only" if "torch" in ast.unparse(node.func) else "allow_pickle"
            given = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg == name}
            if given.get(name) is not safe[name]:
                unsafe.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert unsafe == []
    assert offences(python_files("backend", "frontend"), lambda name: within(name, "pickle", "dill", "joblib")) == []


def test_the_imports_are_read_rightly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    folder = tmp_path / "worker" / "models"
    folder.mkdir(parents=True)
    file = folder / "sample.py"
    file.write_text(
        "import rq.job as j\nfrom . import near\nfrom ..datasets import dataset\n"
        "def lazy():\n    from backend.shared import store\n    importlib.import_module('torch')\n"
    )
    assert sorted(imports(file)) == [
        "backend.shared.store", "rq.job", "torch", "worker.datasets.dataset", "worker.models.near",
    ]  # fmt: skip
