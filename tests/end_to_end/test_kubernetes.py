"""examples/kubernetes without a cluster: the schemas of Kubernetes, and every name against the code."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from densitylab.backend.shared.contracts import System
from densitylab.backend.shared.settings import Settings
from densitylab.worker.arguments import parse
from densitylab.worker.main import ROLES

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "kubernetes"
SECRETS = {  # those that the README creates, with values of the same form
    "services": {
        "DENSITYLAB_REDIS_URL": "rediss://:secret@redis.example.org:6380/0",
        "DENSITYLAB_DATABASE_URL": "postgresql://user:secret@postgres.example.org/densitylab",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    },
    "token": {"DENSITYLAB_API_TOKEN": "0" * 64},
    "reader": {"token": "1" * 64},
}
NOT_OURS = {"HOME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}


def documents() -> list[tuple[str, dict[str, Any]]]:
    files = sorted(EXAMPLE.rglob("*.yaml"))
    return [
        (f"{file.parent.name}/{file.name}", item) for file in files for item in yaml.safe_load_all(file.read_text())
    ]


def of_kind(*kinds: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, item) for name, item in documents() if item["kind"] in kinds]


PODS = [(name, item["spec"]["template"]) for name, item in of_kind("Deployment", "Job")]
CONTAINERS = [
    (name, container)
    for name, pod in PODS
    for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
]
KUSTOMIZATIONS = of_kind("Kustomization")
BASE = next(item for name, item in KUSTOMIZATIONS if name.startswith("base/"))
CONFIG = dict(literal.split("=", 1) for literal in BASE["configMapGenerator"][0]["literals"])


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Return the variables that the container gets."""
    variables: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            assert source["configMapRef"]["name"] == BASE["configMapGenerator"][0]["name"]
            variables |= CONFIG
        else:
            variables |= SECRETS[source["secretRef"]["name"]]
    for item in container.get("env", []):
        secret = item.get("valueFrom", {}).get("secretKeyRef")
        variables[item["name"]] = item["value"] if secret is None else SECRETS[secret["name"]][secret["key"]]
    return variables


def test_every_object_matches_the_schema_of_kubernetes():
    version = kubernetes_validate.latest_version()
    objects = [(name, item) for name, item in documents() if not re.match("kustomize|keda", item["apiVersion"])]
    assert len(objects) > 9
    for _, item in objects:
        kubernetes_validate.validate(item, version, strict=True)
    with pytest.raises(jsonschema.ValidationError):  # the schema does judge
        kubernetes_validate.validate(objects[0][1] | {"imagine": 1}, version, strict=True)


@pytest.mark.parametrize(("name", "item"), KUSTOMIZATIONS, ids=[name for name, _ in KUSTOMIZATIONS])
def test_kustomizations_name_what_exists(name: str, item: dict[str, Any]):
    folder = EXAMPLE / Path(name).parent
    listed = {(folder / resource).resolve() for resource in item["resources"]}
    assert all(path.exists() for path in listed)
    assert {file for file in folder.glob("*.yaml") if file.name != "kustomization.yaml"} <= listed
    for patch in item.get("patches", []):
        assert any(
            (other["kind"], other["metadata"]["name"]) == (patch["target"]["kind"], patch["target"]["name"])
            for _, other in of_kind("Deployment")
        )
        lines = {line["path"].split("/")[-1]: line for line in yaml.safe_load(patch["patch"])}
        assert all(line["op"] == "add" for line in lines.values())
        if "image" in lines:
            assert [image["name"] for image in item["images"]] == [lines["image"]["value"]]


@pytest.mark.parametrize(("name", "container"), CONTAINERS, ids=[f"{n}:{c['name']}" for n, c in CONTAINERS])
def test_commands_images_and_settings_are_those_of_the_code(name, container, monkeypatch):
    room = container["image"].removeprefix("densitylab-").replace("page", "frontend")
    assert (ROOT / room / "Dockerfile").exists()
    assert container["image"] in {image["name"] for image in BASE["images"]}
    commands = [container["command"], *(probe["exec"]["command"] for probe in probes(container) if "exec" in probe)]
    for python, option, module, *words in commands:
        if python == "sh":
            role = "reconciler" if "worker" not in container["command"] else container["command"][-1]
            assert option == "-c" and f"{CONFIG['DENSITYLAB_HOME']}/{role}.alive" in module
            continue
        assert (python, option) == ("python", "-m")
        assert importlib.util.find_spec(module) is not None
        if words[:1] == ["worker"]:
            parse(ROLES, words[1:])
        else:
            assert words in ([], ["migrate"])
    variables = environment(container)
    known = {f"DENSITYLAB_{field.upper()}" for field in Settings.model_fields}
    assert variables.keys() <= known | NOT_OURS
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    Settings()  # refuses what does not go together
    for port in container.get("ports", []):
        assert str(port["containerPort"]) in (variables.get("DENSITYLAB_API_PORT"), variables.get("DENSITYLAB_UI_PORT"))


def probes(container: dict[str, Any]) -> list[dict[str, Any]]:
    return [container[kind] for kind in ("startupProbe", "livenessProbe", "readinessProbe") if kind in container]


def test_pods_are_hardened_and_find_what_they_mount():
    claims = {item["metadata"]["name"] for _, item in of_kind("PersistentVolumeClaim")}
    for name, pod in PODS:
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 10001, name
        assert spec["enableServiceLinks"] is spec["automountServiceAccountToken"] is False, name
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert {v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "emptyDir" not in v} <= claims
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys(), name
    for file in ("backend", "worker", "frontend"):
        assert "useradd --uid 10001" in (ROOT / file / "Dockerfile").read_text()


def test_services_lead_to_pods_and_are_allowed_hosts():
    ports = {
        (pod["metadata"]["labels"]["app"], port["name"])
        for _, pod in PODS
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    }
    for _, service in of_kind("Service"):
        (port,) = service["spec"]["ports"]
        assert (service["spec"]["selector"]["app"], port["targetPort"]) in ports
    allowed = {
        container["name"]: environment(container).get("DENSITYLAB_ALLOWED_HOSTS", "") for _, container in CONTAINERS
    }
    assert allowed["api"].split(",") == ["api", "api.densitylab.svc"]
    page = next(container for _, container in CONTAINERS if container["name"] == "page")
    assert environment(page)["DENSITYLAB_API_URL"] == "http://api:8000"


def test_scaling_reads_figures_that_the_api_gives():
    (scaled,) = [item["spec"] for _, item in of_kind("ScaledObject")]
    assert scaled["scaleTargetRef"]["name"] in {item["metadata"]["name"] for _, item in of_kind("Deployment")}
    named = {trigger["name"]: trigger["metadata"] for trigger in scaled["triggers"]}
    assert set(re.findall(r"\w+", scaled["advanced"]["scalingModifiers"]["formula"])) == named.keys()
    assert {metadata["url"] for metadata in named.values()} == {"http://api.densitylab.svc:8000/api/v1/system"}
    assert {"queues", "running"} <= System.model_fields.keys()
    waiting = {f"queues.{name.value}" for name in ROLES["training"].queues}
    assert {metadata["valueLocation"] for metadata in named.values()} == waiting | {"running"}
    authentications = {item["metadata"]["name"]: item["spec"] for _, item in of_kind("TriggerAuthentication")}
    for trigger in scaled["triggers"]:
        (target,) = authentications[trigger["authenticationRef"]["name"]]["secretTargetRef"]
        assert target["key"] in SECRETS[target["name"]]


def test_the_readme_creates_the_secrets():
    text = (EXAMPLE / "README.md").read_text()
    for name, values in SECRETS.items():
        assert f"secret generic {name} " in text or f"secret generic {name}`" in text
        assert all(f"--from-literal={key}=" in text for key in values)
