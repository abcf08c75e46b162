"""`densitylab import`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densitylab.backend.shared.contracts import (
    UNKNOWN_MODEL,
    Component,
    Misfits,
    NormalizationCheck,
    Run,
)
from densitylab.frontend.analysis.formatting import with_interval
from densitylab.frontend.analysis.misfits import HEADING, left_out, misfit_rows
from densitylab.frontend.client import ApiClient, WeightsDoNotFit
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.outcome import DONE, FAILED, INTERRUPTED, WrongInput, report_unsuccessful
from densitylab.frontend.command_line.overrides import value
from densitylab.frontend.command_line.parser import Parser
from densitylab.frontend.command_line.plain_text import aligned
from densitylab.frontend.command_line.progress_line import ProgressLine
from densitylab.frontend.command_line.task_line import TaskLine

_NORMALIZATIONS = {"imagenet": "imagenet", "dataset": "dataset", "none": "none", "0.5": "half"}
_SHOWN = 6  # ways to normalise


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab import",
        description="Import a model that was trained elsewhere as a run, or as the weights of a logged run, and print "
        "its accuracy. The file is read without running code.",
        parents=[client_command.url_option()],
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="safetensors, or a PyTorch checkpoint")
    parser.add_argument(
        "--run", type=int, metavar="ID", help="logged run without weights that gets them, on its data set and network"
    )
    parser.add_argument("--dataset", metavar="KEY", help="data set to evaluate it on; needed without --run")
    parser.add_argument(
        "--dataset-param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter of the data set; repeatable",
    )
    parser.add_argument(
        "--model", metavar="KEY", help="network: a key of the catalog; needed unless the run of --run names it"
    )
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="parameter of the network; repeatable"
    )
    parser.add_argument(
        "--normalization",
        metavar="HOW",
        help="imagenet, dataset, none, 0.5, or means and deviations as 0.49,0.48,0.45/0.25,0.24,0.26; default: found "
        "by the accuracy on validation images",
    )
    parser.add_argument("--bgr", action="store_true", help="the network takes blue, green, red")
    parser.add_argument("--byte", action="store_true", help="the network takes values from 0 to 255")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="side of the network's images")
    parser.add_argument("--classes", metavar="NAMES", help="names of its outputs in order, separated by commas")
    parser.add_argument("--weights-key", metavar="KEY", help="part of the file that has the weights, such as ema")
    parser.add_argument("--partial", action="store_true", help="load what fits, leave the rest random")
    parser.add_argument("--lambda", dest="lambda_", type=float, metavar="λ", help="λ of its training, if known")
    parser.add_argument("--source", default="", metavar="TEXT", help="where it comes from")
    parser.add_argument("--experiment", type=int, metavar="ID", help="experiment that gets the run; default: a new one")
    parser.add_argument("--name", help="name of the new experiment; default: the file's")
    parser.add_argument(
        "--evaluate", action="append", default=[], metavar="KEY", help="evaluation beside the accuracy; repeatable"
    )
    return client_command.run(act, parser.parse_args(arguments))


def act(client: ApiClient, given: argparse.Namespace) -> int:
    line = TaskLine()
    dataset_params, model_params = _params("--dataset-param", given.dataset_param), _params("--param", given.param)
    spec = None if given.run is None else client.run(given.run).spec
    try:
        run = client.import_model(
            given.file,
            dataset=_component("dataset", given.dataset, dataset_params, spec.dataset if spec else None),
            model=_component("model", given.model, model_params, spec.model if spec else None),
            progress=line,
            **_fields(given),
        )
        print(f"Run {run.id} of experiment {run.experiment}: {_source(run)}")
        if run.status.final:
            (run,) = client.wait(runs=[run.id], progress=ProgressLine())
        else:  # a logged run that still trains
            print(f"Run {run.id} is {run.status.value}: its evaluations follow once it has ended.")
    except KeyboardInterrupt:
        print("\nThe import goes on.", file=sys.stderr)
        return INTERRUPTED
    except WeightsDoNotFit as error:
        print(f"{error}\n\n{misfit_table(error.misfits)}", file=sys.stderr)
        return FAILED
    for name, result in run.results.items():
        print(f"{'test accuracy' if name == 'accuracy.accuracy' else name}: {with_interval(result)}")
    if run.source is not None and run.source.normalization_check is not None:
        print(f"\n{check_table(run.source.normalization_check)}")
    for flag in run.flags:
        print(f"! {flag.text}")
    return report_unsuccessful(client, [run]) if run.status.final else DONE


def misfit_table(misfits: Misfits) -> str:
    """Return the weights that do not fit, one on a line."""
    table = aligned([HEADING, *misfit_rows(misfits)], left=range(len(HEADING)))
    more = left_out(misfits)
    return table if more is None else f"{table}\n{more}"


def check_table(check: NormalizationCheck) -> str:
    """Return the accuracies under the usual normalisations, and the outcome."""
    rows = [["normalisation", f"{check.split} accuracy", "95 % interval", "images"]]
    for index, trial in enumerate(check.trials[: max(_SHOWN, check.chosen + 1)]):
        interval = f"{trial.low:.4f} to {trial.high:.4f}"
        mark = "* " if index == check.chosen else "  "
        rows.append([mark + trial.label, f"{trial.accuracy:.4f}", interval, f"{trial.n:,}"])
    return f"{aligned(rows, left=(0,))}\n{check.summary}"


def _component(option: str, key: str | None, params: dict[str, Any], of_run: Component | None) -> dict[str, Any]:
    """Return the component that the options name, or else the one of the run. Raises WrongInput."""
    if key is not None:
        return {"key": key, "params": params}
    if of_run is None or of_run.key == UNKNOWN_MODEL:
        raise WrongInput(f"--{option}: expected a key of the catalog.")
    return {"key": of_run.key, "params": of_run.params | params}


def _fields(given: argparse.Namespace) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "partial": given.partial,
        "source": given.source,
        "channel_order": "bgr" if given.bgr else "rgb",
        "value_range": "byte" if given.byte else "unit",
        "evaluations": [{"key": key} for key in given.evaluate],
    }
    optional = {
        "lambda_": given.lambda_,
        "experiment": given.experiment,
        "run": given.run,
        "name": given.name,
        "weights_key": given.weights_key,
        "image_size": None if given.image_size is None else [given.image_size] * 2,
        "class_names": None if given.classes is None else [name.strip() for name in given.classes.split(",")],
    }
    fields |= {name: item for name, item in optional.items() if item is not None}
    return fields | _normalization(given.normalization)


def _normalization(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    if text in _NORMALIZATIONS:
        return {"normalization": _NORMALIZATIONS[text]}
    try:
        mean, std = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        raise WrongInput(
            f"--normalization: expected {', '.join(_NORMALIZATIONS)}, or MEANS/DEVIATIONS; got {text!r}."
        ) from None
    return {"mean": mean, "std": std}


def _params(option: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return the parameters that NAME=VALUE texts of the option set. Raises WrongInput."""
    params: dict[str, Any] = {}
    for text in texts:
        name, equals, given = text.partition("=")
        if not equals:
            raise WrongInput(f"{option}: expected NAME=VALUE; got {text!r}.")
        try:
            params[name] = value(given)
        except ValueError as error:
            raise WrongInput(f"{option}: {error}.") from None
    return params


def _source(run: Run) -> str:
    source = run.source
    if source is None:
        return run.source_name
    removed = f", prefix {source.removed_prefix!r} removed" if source.removed_prefix else ""
    return f"{source.file_name}, {source.format}{removed}"
