"""`densitylab freeze`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from densitylab.frontend.analysis.formatting import counted, size
from densitylab.frontend.client import ApiClient
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.outcome import DONE, WrongInput
from densitylab.frontend.command_line.parser import Parser


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab freeze",
        description="Write an experiment or a study as a page that needs no server: a folder whose index.html opens "
        "from disk, with set-up, findings, tables, charts, saliency maps and a page for each run.",
        parents=[client_command.url_option()],
    )
    parser.add_argument("what", choices=["experiment", "study"], help="what ID numbers")
    parser.add_argument("id", type=int, metavar="ID", help="number of the experiment or the study")
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="new folder, or a file that ends with .zip; default: experiment-ID"
    )
    parser.add_argument(
        "--images",
        type=_index,
        nargs="+",
        metavar="INDEX",
        help="indices of the test images whose saliency maps are shown; default: 0 1 2 3",
    )
    return client_command.run(act, parser.parse_args(arguments))


def act(client: ApiClient, given: argparse.Namespace) -> int:
    name = f"{given.what}-{given.id}"
    out: Path = given.out or Path(name)
    packed = out.suffix == ".zip"
    if out.exists() and (packed or not out.is_dir() or any(out.iterdir())):
        raise WrongInput(f"--out: {out} exists already; name a new folder, or a new file that ends with .zip.")
    # Imports plotly
    from densitylab.frontend.frozen.experiment import freeze_experiment
    from densitylab.frontend.frozen.folder import archive, write
    from densitylab.frontend.frozen.study import freeze_study

    freeze = freeze_experiment if given.what == "experiment" else freeze_study
    images = None if given.images is None else list(dict.fromkeys(given.images))
    files = freeze(client, given.id, images)
    if packed:
        out.write_bytes(archive(files, name))
        print(out)
    else:
        write(files, out)
        print(f"{out / 'index.html'}: {counted(len(files), 'file')}, {size(sum(map(len, files.values())))}")
    return DONE


def _index(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected the index of a test image, 0 or more; got {text!r}")
    return int(text)
