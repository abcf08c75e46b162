"""Import rules between the rooms, checked in the source; lazy imports count too."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A folder of components may import folders of its own rank and of earlier ranks
RANKS = [
    {
        "models",
        "datasets",
        "attacks",
        "attributions",
        "schedules",
        "lr_schedules",
        "augmentations",
        "algorithms",
        "optimizers",
    },
    {"perturbations", "regularizers"},
    {"evaluations"},
]
COMPONENTS = set.union(*RANKS)
DYNAMIC = ("importlib.import_module", "import_module", "__import__")
INFRASTRUCTURE = {"rq", "redis", "valkey", "sqlalchemy", "alembic", "fastapi", "starlette", "uvicorn", "streamlit"}


def python_files(*rooms: str) -> list[Path]:
    return [file for room in rooms for file in sorted((ROOT / room).rglob("*.py"))]


def imports(file: Path) -> Iterator[str]:
    """Yield the dotted names of all imports of a file, at any depth; `from a import b` gives `a.b`."""
    package = ("densitylab", *file.relative_to(ROOT).parent.parts)
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


def backend_except(name: str, *allowed: str) -> bool:
    """Return whether a name belongs to the backend and not to what is allowed."""
    return within(name, "densitylab.backend") and not within(name, *allowed)


def violations_of(files: list[Path], forbidden: Callable[[str], bool]) -> list[str]:
    assert files, "no files found: the test looks in the wrong place"
    return [f"{file.relative_to(ROOT)} imports {name}" for file in files for name in imports(file) if forbidden(name)]


def test_the_backend_imports_neither_torch_nor_worker_nor_page():
    others = (
        "torch",
        "torchvision",
        "captum",
        "mlxtend",
        "sklearn",
        "densitylab.worker",
        "densitylab.frontend",
        "streamlit",
    )
    assert violations_of(python_files("backend"), lambda name: within(name, *others)) == []


def test_shared_imports_nothing_else_of_the_backend():
    violations = violations_of(
        python_files("backend/shared"),
        lambda name: (
            backend_except(name, "densitylab.backend.shared")
            or within(name, "fastapi", "starlette", "rq", "redis", "alembic")
        ),
    )
    assert violations == []


def test_only_the_queue_imports_rq():
    files = [file for file in python_files("backend") if file != ROOT / "backend/broker/queue.py"]
    assert violations_of(files, lambda name: within(name, "rq")) == []


def test_one_module_imports_optuna():
    files = [file for file in python_files("backend") if file != ROOT / "backend/services/optuna_studies.py"]
    assert violations_of(files, lambda name: within(name, "optuna")) == []


def test_the_launcher_starts_the_others_by_command_line_only():
    allowed = (
        "densitylab.backend.shared",
        "densitylab.backend.ops.broker_log",
        "densitylab.backend.ops.devices",
        "densitylab.backend.ops.migrate",
        "densitylab.backend.ops.supervisor",
    )
    violations = violations_of(
        [*(ROOT / "backend/ops" / f"{name}.py" for name in ("launcher", "supervisor", "devices"))],
        lambda name: backend_except(name, *allowed),
    )
    assert violations == []


def test_the_worker_imports_only_shared_of_the_backend():
    violations = violations_of(
        python_files("worker"),
        lambda name: (
            backend_except(name, "densitylab.backend.shared")
            or within(name, "densitylab.frontend", "streamlit", "fastapi")
        ),
    )
    assert violations == []


@pytest.mark.parametrize("folder", sorted(name for name in COMPONENTS if (ROOT / "worker" / name).is_dir()))
def test_components_import_no_infrastructure_and_keep_their_order(folder: str):
    rank = next(number for number, names in enumerate(RANKS) if folder in names)
    later = [f"densitylab.worker.{name}" for names in RANKS[rank + 1 :] for name in names]
    above = [
        "densitylab.worker.jobs",
        "densitylab.worker.main",
        "densitylab.worker.training.loop",
        "densitylab.worker.training.checkpoints",
        "densitylab.worker.resolve",
    ]
    files = python_files(f"worker/{folder}")
    assert violations_of(files, lambda name: within(name, "densitylab.backend", *INFRASTRUCTURE, *later, *above)) == []


def test_training_imports_neither_database_nor_jobs():
    above = ("densitylab.worker.jobs", "densitylab.worker.runtime", "densitylab.backend", *INFRASTRUCTURE)
    assert violations_of(python_files("worker/training"), lambda name: within(name, *above)) == []


def test_the_worker_runtime_imports_neither_jobs_nor_components():
    above = (
        "densitylab.worker.jobs",
        "densitylab.worker.training",
        *(f"densitylab.worker.{name}" for name in COMPONENTS),
    )
    assert violations_of(python_files("worker/runtime"), lambda name: within(name, *above)) == []


def test_every_component_folder_has_a_rank():
    folders = {path.name for path in (ROOT / "worker").iterdir() if any(path.glob("*.py"))}
    assert folders - {"export_formats", "importing", "jobs", "runtime", "training"} <= COMPONENTS


def test_statistics_know_contracts_alone():
    violations = violations_of(
        python_files("backend/shared/statistics"),
        lambda name: (
            backend_except(name, "densitylab.backend.shared.contracts", "densitylab.backend.shared.statistics")
            or within(name, *INFRASTRUCTURE)
        ),
    )
    assert violations == []


def test_the_page_imports_only_contracts_and_statistics_of_the_backend():
    server = ROOT / "frontend/page_server.py"  # a service, which reads its settings as the API does
    others = ("densitylab.worker", "torch", "sqlalchemy", "redis", "rq", "fsspec")
    contracts = "densitylab.backend.shared.contracts"
    statistics = "densitylab.backend.shared.statistics"
    violations = violations_of(
        [file for file in python_files("frontend") if file != server],
        lambda name: backend_except(name, contracts, statistics) or within(name, *others),
    )
    service = (contracts, "densitylab.backend.shared.asgi", "densitylab.backend.shared.settings")
    violations += violations_of([server], lambda name: backend_except(name, *service) or within(name, *others))
    assert violations == []


def test_only_the_front_door_imports_all_three_folders():
    """`densitylab/` itself imports the three folders, and none of them imports it."""
    folders = ("densitylab.backend", "densitylab.worker", "densitylab.frontend")
    violations = violations_of(
        python_files("backend", "worker", "frontend"),
        lambda name: within(name, "densitylab") and not within(name, *folders),
    )
    assert violations == []


def test_imports_always_name_the_package():
    """Every import of our folders goes through `densitylab`, since users may have a `backend` or `worker` too."""
    statement = re.compile(r"(\bfrom|(?<!densitylab )\bimport) (backend|worker|frontend)\b")
    files = [
        file
        for room in ("backend", "worker", "frontend", "densitylab", "tests", "benchmarks", "docs", "examples")
        for file in (ROOT / room).rglob("*")
        if file.suffix in (".py", ".md", ".toml")
    ]
    files += [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile"]
    violations = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if statement.search(line)
    ]
    assert violations == []


# Rooms without Streamlit
PURE_ROOMS = ("analysis", "charts", "maps", "paper", "report", "frozen", "command_line")


def test_the_client_imports_no_page_code():
    rooms = [path.name for path in (ROOT / "frontend").iterdir() if path.is_dir() and path.name != "client"]
    page = [*(f"densitylab.frontend.{room}" for room in rooms), "streamlit", "plotly"]
    assert violations_of(python_files("frontend/client"), lambda name: within(name, *page)) == []


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_pure_rooms_import_no_streamlit(room: str):
    page = [f"densitylab.frontend.{name}" for name in ("ui", "explore", "launch_form", "import_form", "app_pages")]
    assert violations_of(python_files(f"frontend/{room}"), lambda name: within(name, "streamlit", *page)) == []


def test_the_page_rooms_keep_their_order():
    later = {
        "analysis": ("charts", "maps", "paper", "report", "frozen"),
        "charts": ("paper", "report", "frozen"),
        "maps": ("charts", "paper", "report", "frozen"),
        "paper": ("charts", "maps", "report", "frozen"),
        "report": ("frozen",),
    }
    later |= dict.fromkeys(("ui", "launch_form", "import_form", "explore"), ("app_pages",))
    later["ui"] += ("launch_form", "explore")
    for room, forbidden in later.items():
        names = [f"densitylab.frontend.{name}" for name in forbidden]
        assert violations_of(python_files(f"frontend/{room}"), lambda name, names=names: within(name, *names)) == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("densitylab", ("pydantic", "numpy", "torch", "httpx")),
        ("densitylab.cli", ("pydantic", "numpy", "torch", "httpx")),
        (
            "densitylab.frontend.command_line.runs",
            ("torch", "streamlit", "plotly", "pandas", "numpy", "sqlalchemy", "densitylab.worker"),
        ),
        (
            "densitylab; densitylab.connect",
            ("fsspec", "numpy", "pandas", "plotly", "pydantic_settings", "sqlalchemy", "streamlit", "torch", "yaml"),
        ),
        ("densitylab.backend.api.app", ("torch", "scipy", "optuna", "densitylab.worker", "streamlit")),
        ("densitylab.backend.reconciler", ("torch", "optuna", "densitylab.worker", "streamlit")),
        (
            "densitylab.backend.ops.launcher",
            ("torch", "densitylab.worker", "streamlit", "fastapi", "sqlalchemy", "valkey", "densitylab.backend.api"),
        ),
        ("densitylab.backend.shared.contracts", ("torch", "optuna", "sqlalchemy", "fastapi", "rq")),
    ],
)
def test_modules_that_an_import_does_not_load(module: str, absent: tuple[str, ...]):
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert outcome.stderr == ""
    assert outcome.stdout.strip() == "[]"


def test_loading_never_runs_code():
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
    assert (
        violations_of(python_files("backend", "frontend"), lambda name: within(name, "pickle", "dill", "joblib")) == []
    )


def test_imports_of_a_file_are_all_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    folder = tmp_path / "worker" / "models"
    folder.mkdir(parents=True)
    file = folder / "sample.py"
    file.write_text(
        "import rq.job as j\nfrom . import near\nfrom ..datasets import dataset\n"
        "def lazy():\n    from densitylab.backend.shared import store\n    importlib.import_module('torch')\n"
    )
    assert sorted(imports(file)) == [
        "densitylab.backend.shared.store",
        "densitylab.worker.datasets.dataset",
        "densitylab.worker.models.near",
        "rq.job",
        "torch",
    ]
