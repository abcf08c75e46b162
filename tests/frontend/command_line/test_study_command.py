"""`densitylab study`, against a served API without workers."""

import json
import time
from pathlib import Path

import pytest

from densitylab.cli import main
from tests.frontend.command_line.test_command_line import process, started

pytestmark = pytest.mark.timeout(240)
RUN = ("study", "run", "spurious", "--yes")


def finish(live_api, study, *, failing: bool = False) -> None:
    for launch in study.launches:
        for run in live_api.client.experiment(launch.experiment).runs:
            if failing:
                live_api.fail(run, "RuntimeError: the disk is full")
            else:
                live_api.finish(run, groups__worst=0.5, accuracy__accuracy=0.9)


def test_a_killed_command_goes_on_with_the_study_that_it_launched(live_api):
    for _ in range(2):
        command = started(*RUN, url=live_api.url)
        assert command.stdout is not None
        line = command.stdout.readline()
        while not line.startswith("Study "):
            assert line, command.communicate()[1]
            line = command.stdout.readline()
        time.sleep(1)  # it waits
        command.kill()
        command.communicate()
    (study,) = live_api.client.studies(key="spurious").items
    assert line.startswith(f"Study {study.id}: Spurious correlations, launched ") and "goes on: 21 runs" in line
    command = started(*RUN, url=live_api.url)
    finish(live_api, study)
    output, errors = command.communicate(timeout=120)
    assert command.returncode == 0, errors
    assert study.question in output and "Groups at the selected λ: Digits on textures" in output
    assert "21 of 21 trained" in errors

    code, again, _ = process(*RUN, url=live_api.url)
    assert code == 0 and "has finished. --new launches it again." in again
    assert again.partition(study.question)[2] == output.partition(study.question)[2]
    assert len(live_api.client.studies(key="spurious").items) == 1


def test_the_price_and_what_is_left_out_are_printed_first(live_api):
    before = len(live_api.client.studies(limit=200).items)
    code, output, _ = process("study", "run", "scale", "--size", "gpu", "--yes", url=live_api.url)
    assert code == 1
    assert "about 10 h on one data-centre GPU, evaluations included" in output
    assert "is not prepared: prepare it on the page Data" in output and "Nothing of it can be launched." in output
    assert len(live_api.client.studies(limit=200).items) == before


def test_a_failed_run_gives_exit_code_3(live_api):
    study = live_api.client.launch_study("dynamic")
    finish(live_api, study, failing=True)
    code, _, errors = process("study", "run", "dynamic", url=live_api.url)
    assert code == 3 and errors.count("the disk is full") == sum(launch.runs for launch in study.launches)


def test_new_launches_it_again_with_another_data_set(live_api):
    arguments = ("study", "run", "norms", "--new", "--dataset", "blockmnist=textured_digits")
    command = started(*arguments, url=live_api.url)
    while not (found := live_api.client.studies(key="norms").items):
        assert command.poll() is None
        time.sleep(0.2)
    command.kill()
    command.communicate()
    assert found[0].datasets == {"blockmnist": "textured_digits"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "leakge"), "there is no study 'leakge'; on offer: leakage"),
        (("run", "leakage", "--dataset", "cifar10=blockmnist"), "the study takes no data set 'cifar10'"),
        (("report", "1", "--out", "report.doc"), "name a file that ends with .md or .html"),
    ],
)
def test_wrong_arguments_give_exit_code_2(live_api, capsys, arguments, sentence):
    assert main(["study", *arguments, "--url", live_api.url]) == 2
    assert sentence in capsys.readouterr().err


def test_a_replacement_needs_two_keys(capsys):
    with pytest.raises(SystemExit):
        main(["study", "run", "leakage", "--dataset", "cifar10"])
    assert "expected KEY=OTHER, such as cifar10=my_key; got 'cifar10'" in capsys.readouterr().err


def test_status_lists_studies_and_shows_one(live_api, leakage_study, capsys):
    main(["study", "status", "--url", live_api.url])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["study", "key", "size", "version", "launched", "state", "progress", "runs"]
    assert any(line.split()[:2] == [str(leakage_study.id), "leakage"] and "finished" in line for line in lines)
    main(["study", "status", str(leakage_study.id), "--url", live_api.url])
    shown = capsys.readouterr().out
    assert "100%  45 of 45 trained, 162 of 162 evaluations" in shown and "MLP, GELU" in shown


def test_a_report_is_printed_and_written(live_api, leakage_study, tmp_path: Path, capsys):
    number = str(leakage_study.id)
    main(["study", "report", number, "--url", live_api.url])
    text = capsys.readouterr().out
    claim = "Marginal-density smoothing has a smaller share of leakage than no penalty"
    assert f"{claim}\n  ✓ yes  MLP, ReLU: Yes, over 3 seeds.\n" in text
    main(["study", "report", number, "--json", "--url", live_api.url])
    assert json.loads(capsys.readouterr().out)["study"]["id"] == leakage_study.id
    main(["study", "report", number, "--out", str(tmp_path / "leakage.md"), "--url", live_api.url])
    written = capsys.readouterr().out.split()
    assert written == [str(tmp_path / "leakage.md"), str(tmp_path / "leakage-1.svg")]
    assert "](leakage-1.svg)" in (tmp_path / "leakage.md").read_text()
    assert "<svg" in (tmp_path / "leakage-1.svg").read_text()
    main(["study", "report", number, "--out", str(tmp_path / "leakage.html"), "--url", live_api.url])
    assert (tmp_path / "leakage.html").read_text().count("<svg") == 1
