"""The release: one version everywhere, notes from the changelog, and a workflow that tests before it publishes."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def release(tag: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([root / ".ci" / "release", tag], capture_output=True, text=True)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The files that a release reads, with a section of the version in the changelog."""
    (tmp_path / ".ci").mkdir()
    for name in (".ci/release", "pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION}\n\n- Everything.\n\n## 0.0.1\n\n- Old.\n")
    return tmp_path


def test_every_place_has_the_version():
    assert re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)[1] == VERSION  # type: ignore[index]
    examples = json.loads((ROOT / "backend" / "api" / "openapi_examples.json").read_text())

    def versions(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value[name] for name in ("version", "densitylab_version") if isinstance(value.get(name), str)}
            return own.union(*map(versions, value.values()))
        return set().union(*map(versions, value)) if isinstance(value, list) else set()

    assert {text for text in versions(examples) if text.startswith("0.")} == {VERSION}


def test_a_tag_of_this_state_would_be_released():
    made = release(f"v{VERSION}", ROOT)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("- ") and "\n## " not in made.stdout


def test_the_citation_is_valid():
    check_jsonschema = pytest.importorskip("check_jsonschema")
    schemas = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    rules = json.loads((schemas / "citation-file-format.json").read_text())
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validators.validator_for(rules)(rules).validate(yaml.safe_load((ROOT / "CITATION.cff").read_text()))


def test_the_notes_are_the_section_of_the_version(copied: Path):
    made = release(f"v{VERSION}", copied)
    assert (made.returncode, made.stdout) == (0, "- Everything.\n")


@pytest.mark.parametrize(
    ("tag", "file", "old", "new", "sentence"),
    [
        ("v9.9.9", "CITATION.cff", "", "", f"expected v{VERSION}"),
        (VERSION, "CITATION.cff", "", "", f"expected v{VERSION}"),
        (f"v{VERSION}", "CITATION.cff", f"version: {VERSION}", "version: 0.0.1", "CITATION.cff has another version"),
        (f"v{VERSION}", "CHANGELOG.md", f"## {VERSION}", "## Unreleased", "but with Unreleased"),
        (f"v{VERSION}", "CHANGELOG.md", "- Everything.", "", f"a section {VERSION} that says something"),
    ],
)
def test_a_release_that_does_not_fit_is_refused(copied: Path, tag: str, file: str, old: str, new: str, sentence: str):
    path = copied / file
    path.write_text(path.read_text().replace(old, new) if old else path.read_text())
    made = release(tag, copied)
    assert made.returncode == 1 and sentence in made.stderr and made.stdout == ""


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_valid(workflow: Path):
    check_jsonschema = pytest.importorskip("check_jsonschema")
    schema = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "github-workflows.json"
    jsonschema = pytest.importorskip("jsonschema")
    loaded = yaml.safe_load(workflow.read_text())
    loaded["on"] = loaded.pop(True)  # YAML 1.1 reads `on` as true
    rules = json.loads(schema.read_text())
    jsonschema.validators.validator_for(rules)(rules).validate(loaded)
    for job in loaded["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            # An expression in a script could be somebody else's words
            script = re.sub(r"\$\{\{ matrix\.\w+ \}\}", "x", step.get("run", ""))
            assert "${{" not in script
            assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
            action = step.get("uses", "actions/x@v1")
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action), action


def test_nothing_is_published_before_the_tests_have_passed():
    jobs = RELEASE["jobs"]
    assert jobs["test"]["steps"][-1]["run"] == ".ci/run"
    writing = {name for name, job in jobs.items() if "write" in job.get("permissions", {}).values()}
    assert writing == {"images", "publish"} and all("test" in jobs[name]["needs"] for name in writing)


def test_the_images_are_those_of_docker_compose():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    built = {service["image"]: service["build"] for service in services if "build" in service}
    made = {f"densitylab-{item['name']}": item for item in RELEASE["jobs"]["images"]["strategy"]["matrix"]["include"]}
    assert made.keys() == built.keys()
    for name, build in built.items():
        assert made[name]["file"] == build["dockerfile"]
        arguments = "\n".join(f"{key}={value}" for key, value in build.get("args", {}).items())
        assert made[name].get("arguments", "") == arguments
    files = {item["file"] for item in made.values()}
    assert files == {path.relative_to(ROOT).as_posix() for path in ROOT.glob("*/Dockerfile")}
