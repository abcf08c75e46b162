"""Plug-ins: the example package, and plug-ins that fail in every way."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from densitylab.backend.services.availability import missing_entries
from densitylab.backend.services.estimates import cost_model
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import BUILT_IN, Catalog, NetworkCost, Param, PenaltyCost, Plugin, network_cost
from densitylab.backend.shared.catalog.validation import invalid_facts

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "plugin"


def install(site: Path, package: str, target: str) -> None:
    """Write the metadata that an installed plug-in has."""
    folder = site / f"{package.replace('-', '_')}-0.1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1.0\n")
    (folder / "entry_points.txt").write_text(f"[densitylab.catalog]\n{package} = {target}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages that this process imports from."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def example(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "densitylab-example", "densitylab_example.catalog:entries")
    monkeypatch.syspath_prepend(EXAMPLE)


def test_the_example_adds_entries_of_four_kinds(example: None):
    catalog = Catalog.installed()
    assert catalog.problems == ()
    entries = {
        kind: [entry.key for entry in catalog.all(kind) if entry.plugin == Plugin("densitylab-example", "0.1.0")]
        for kind in catalog.by_kind
    }
    assert {kind: keys for kind, keys in entries.items() if keys} == {
        "dataset": ["stripes"],
        "model": ["cifar_resnet"],
        "regularizer": ["elastic_net"],
        "evaluation": ["noise_accuracy"],
    }
    assert len(BUILT_IN) + 4 == sum(len(keys) for keys in catalog.by_kind.values())


def test_reading_a_plug_in_needs_no_torch(example: None):
    code = (
        f"import sys; sys.path[:0] = {sys.path[:2]!r}\n"
        "from densitylab.backend.shared.catalog import Catalog\n"
        "assert 'elastic_net' in Catalog.installed().by_kind['regularizer']\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


def test_a_run_names_the_plug_ins_of_its_entries(example: None):
    catalog = Catalog.installed()
    (plain,) = specs.plan(catalog, {}, None)
    assert plain.plugins == {}
    spec = {
        "dataset": {"key": "stripes"},
        "regularizer": {"key": "elastic_net"},
        "evaluations": [{"key": "noise_accuracy"}],
    }
    (planned,) = specs.plan(catalog, spec, None)
    assert planned.spec.regularizer.params == {"alpha": 0.5}
    entries = ["dataset stripes", "regularizer elastic_net", "evaluation noise_accuracy"]
    assert planned.plugins == {"densitylab-example": {"version": "0.1.0", "entries": entries}}


BAD = {
    "exits": ("import sys; sys.exit('no')", "bad:entries failed: SystemExit: no"),
    "odd_repr": (
        "class Odd:\n    def __repr__(self): raise OSError\ndef entries(): return [Odd()]",
        "expected one of DatasetEntry, ModelEntry,",
    ),
    "not_a_tuple": (
        "from densitylab import AttackEntry, Param\n"
        "def entries(): return [AttackEntry('a', 'A', '', 'a.b:c', params=Param(name='p', type='int', default=1))]",
        "params",
    ),
    "choices_of_floats": (
        "from densitylab import AttackEntry, Param\ndef entries():\n"
        "    return [AttackEntry('a', 'A', '', 'a.b:c', "
        "params=(Param(name='p', type='float', default=.5, choices=(.5, 1.0)),))]",
        "params.0.choices",
    ),
    "label_of_none": (
        "from densitylab import AttackEntry\ndef entries(): return [AttackEntry('a', None, '', 'a.b:c')]",
        "label: Input should be a valid string",
    ),
    "lone_surrogate": (
        "from densitylab import AttackEntry\ndef entries(): return [AttackEntry('a', '\\ud800', '', 'a.b:c')]",
        "",
    ),
    "size_of_one_number": (
        "from densitylab import DatasetEntry\ndef entries(): return [DatasetEntry('a', 'A', '', 'a.b:c', "
        "image_size=32)]",
        "image_size: Input should be a valid tuple",
    ),
    "coerced": (
        "from densitylab import DatasetEntry\ndef entries(): return [DatasetEntry('a', 'A', '', 'a.b:c', "
        "train_size='12')]",
        "train_size: '12' is not of the declared type",
    ),
    "default_out_of_bounds": (
        "from densitylab import AttackEntry, Param\ndef entries():\n"
        "    return [AttackEntry('a', 'A', '', 'a.b:c', "
        "params=(Param(name='p', type='float', default=5.0, maximum=1.0),))]",
        "parameter 'p': its default is not valid: expected a number at most 1, got 5.0",
    ),
    "reserved_name": (
        "from densitylab import AttackEntry, Param\ndef entries():\n"
        "    return [AttackEntry('a', 'A', '', 'a.b:c', params=(Param(name='model', type='int', default=1),))]",
        "parameter 'model': the name belongs to an argument",
    ),
    "component_of_no_kind": (
        "from densitylab import AttackEntry, Param\ndef entries():\n"
        "    return [AttackEntry('a', 'A', '', 'a.b:c', "
        "params=(Param(name='p', type='component', default={'key': 'x'}, kind='no'),))]",
        "parameter 'p': expected a kind of component",
    ),
    "note_of_no_parameter": (
        "from densitylab import AlgorithmEntry\ndef entries():\n"
        "    return [AlgorithmEntry('a', 'A', '', 'a.b:c', note='after {zz} of {epochs} epochs')]",
        "a rule or fact names 'zz', which is no parameter",
    ),
    "note_that_cannot_be_filled": (
        "from densitylab import AlgorithmEntry, Param\ndef entries():\n"
        "    return [AlgorithmEntry('a', 'A', '', 'a.b:c', note='{p:d}', "
        "params=(Param(name='p', type='str', default='x'),))]",
        "note: its defaults cannot be put in",
    ),
    "rule_of_no_parameter": (
        "from densitylab import AttackEntry, Rule\ndef entries():\n"
        "    return [AttackEntry('a', 'A', '', 'a.b:c', rules=(Rule(when={}, allowed={'zz': (1,)}, why=''),))]",
        "a rule or fact names 'zz', which is no parameter",
    ),
    "means_without_std": (
        "from densitylab import DatasetEntry\ndef entries(): return [DatasetEntry('a', 'A', '', 'a.b:c', mean=(0.5,))]",
        "expected one mean and one std for each channel",
    ),
    "raises": ("raise OSError('no such disk')", "bad:entries failed: OSError: no such disk"),
    "no_function": ("", "bad:entries failed: AttributeError: module 'bad' has no attribute 'entries'"),
    "no_entry": ("def entries(): return [3]", "expected one of DatasetEntry, ModelEntry,"),
    "bare_entry": (
        "from densitylab.backend.shared.catalog import Entry\ndef entries(): return [Entry('a', 'A', '', 'a.b:c')]",
        "expected one of DatasetEntry, ModelEntry,",
    ),
    "taken": (
        "from densitylab import RegularizerEntry\ndef entries(): return [RegularizerEntry('trades', 'T', '', 'a.b:c')]",
        "DensityLab has the regularizer 'trades' already",
    ),
    "twice": (
        "from densitylab import AttackEntry\ndef entries(): return 2 * [AttackEntry('a', 'A', '', 'a.b:c')]",
        "bad has the attack 'a' already",
    ),
    "bad_key": (
        "from densitylab import AttackEntry\ndef entries(): return [AttackEntry('Über', 'A', '', 'a.b:c')]",
        "expected a key of small letters",
    ),
    "bad_path": (
        "from densitylab import AttackEntry\ndef entries(): return [AttackEntry('a', 'A', '', 'os.system')]",
        "expected a path 'package.module:callable'; got 'os.system'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_plug_in_that_fails_is_left_out_with_the_reason_and_stops_no_other(name: str, site: Path, example: None):
    content, reason = BAD[name]
    (site / "bad.py").write_text(content)
    install(site, "bad", "bad:entries")
    sys.modules.pop("bad", None)
    catalog = Catalog.installed()
    assert "elastic_net" in catalog.by_kind["regularizer"] and catalog.by_kind["regularizer"]["trades"].plugin is None
    assert len(catalog.problems) == 1
    assert catalog.problems[0].plugin == Plugin("bad", "0.1.0") and catalog.problems[0].reason.startswith(reason)


def test_two_entries_of_one_key_are_refused():
    with pytest.raises(ValueError, match="two entries of kind dataset have the key"):
        Catalog.of([*BUILT_IN, replace(BUILT_IN[0], label="Another")])


def test_every_built_in_entry_is_valid():
    assert {entry.key: reason for entry in BUILT_IN if (reason := invalid_facts(entry)) is not None} == {}


def test_a_registered_data_set_stays_where_a_plug_in_has_its_key(example: None):
    catalog = Catalog.installed()
    registered = replace(catalog.find("dataset", "mnist"), key="stripes", registered=True)
    merged = catalog.with_entries([registered])
    assert merged.find("dataset", "stripes") is registered
    assert [problem.entry for problem in merged.problems] == ["dataset 'stripes'"]


@pytest.mark.parametrize(
    "cost",
    [
        lambda *_: 1 / 0,
        lambda *_: None,
        lambda *_: PenaltyCost(math.nan, 1),
        lambda *_: NetworkCost(1, math.inf, 1),
        PenaltyCost(6, 3),
    ],
)
def test_a_cost_that_fails_is_not_known(cost):
    catalog = Catalog.built_in()
    penalty = replace(catalog.find("regularizer", "jacobian"), cost=cost)
    network = replace(catalog.find("model", "mlp"), cost=cost)
    assert cost_model.passes(penalty, {"every": 1}, 1.0) is None and cost_model.copies(penalty, {}, 1.0) is None
    assert network_cost(network, {}, catalog.find("dataset", "mnist")) is None


def test_optional_components_are_found_at_any_depth(example: None):
    catalog = Catalog.installed()
    inner = Param(name="inner", type="component", kind="regularizer", default={"key": "elastic_net", "params": {}})
    outer = replace(catalog.find("regularizer", "jacobian"), key="outer", params=(inner,))
    (planned,) = specs.plan(catalog.with_entries([outer]), {"regularizer": {"key": "outer"}}, None)
    assert [item.pointer for item in planned.optional] == ["/spec/regularizer/params/inner/key"]
    assert planned.plugins["densitylab-example"]["entries"] == ["regularizer elastic_net"]


@pytest.mark.parametrize("plugins", ["null", "[]", '"x"', '{"p": {}}', '{"p": null}'])
def test_odd_provenance_breaks_no_run(plugins: str):
    assert missing_entries(Catalog.built_in(), f'{{"plugins": {plugins}}}') == []


def test_a_catalog_is_not_changed_by_what_is_added_to_it():
    catalog = Catalog.built_in()
    entry = catalog.find("dataset", "mnist")
    smaller = Catalog.of(item for item in BUILT_IN if item is not entry)
    assert "mnist" in smaller.with_entries([entry]).by_kind["dataset"]
    assert "mnist" not in smaller.by_kind["dataset"]
    assert smaller.with_entries([]) is smaller and catalog.with_entries([entry]).all("dataset") == catalog.all(
        "dataset"
    )


def test_the_api_shows_plug_ins_and_what_is_wrong_with_them(example: None, site: Path, app):
    (site / "bad.py").write_text("raise OSError('no such disk')")
    install(site, "bad", "bad:entries")
    sys.modules.pop("bad", None)
    with TestClient(app) as client:
        catalog = client.get("/api/v1/catalog").json()
        elastic_net = next(entry for entry in catalog["regularizer"] if entry["key"] == "elastic_net")
        assert elastic_net["plugin"] == {"package": "densitylab-example", "version": "0.1.0"}
        assert elastic_net["unavailable"] is None
        plugins = {item["package"]: item for item in client.get("/api/v1/system").json()["plugins"]}
        assert plugins["bad"]["entries"] == [] and "no such disk" in plugins["bad"]["problems"][0]
        assert "regularizer elastic_net" in plugins["densitylab-example"]["entries"]
        launched = client.post("/api/v1/experiments", json={"spec": {"regularizer": {"key": "elastic_net"}}})
        assert launched.status_code == 202
        path = f"/api/v1/runs/{launched.json()['runs'][0]}"
        run = client.get(path).json()
        assert run["provenance"]["plugins"]["densitylab-example"]["version"] == "0.1.0" and not run.get("missing")
        # Removed, after which the API is started anew
        app.state.catalog = Catalog.built_in()
        gone = client.get(path).json()
        assert gone["spec"] == run["spec"]
        assert gone["missing"] == [
            "regularizer 'elastic_net' of the package densitylab-example 0.1.0, which is not installed here"
        ]
        again = client.post("/api/v1/experiments", json={"spec": {"regularizer": {"key": "elastic_net"}}})
        assert again.status_code == 422 and "unknown regularizer 'elastic_net'" in again.json()["errors"][0]["detail"]
