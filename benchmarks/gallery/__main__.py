"""Draw the effects of smoothing in six pictures, with captions that contain the results.

    python -m benchmarks.gallery [--out FOLDER]

Launches 15 short runs on a running system (DENSITYLAB_API_URL) and waits for them. Then requests their maps, slices of
log p and evaluations, and writes gallery.md and the folder gallery. Results that exist are not computed again.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.gallery.page import FIGURES, file_name, page
from benchmarks.gallery.requests import MINUTES, REQUEST, fetch
from benchmarks.launched import launched
from densitylab.backend.shared.contracts import Status
from densitylab.frontend.client import ApiError, connect
from densitylab.frontend.command_line.progress_line import ProgressLine

DOTS_PER_INCH = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    out = parser.parse_args().out
    client = connect()
    try:
        experiment = launched(client, REQUEST)
        print(f"{experiment.name}: {len(experiment.runs)} runs, experiment {experiment.id}")
        runs = client.wait(experiment.id, expected_seconds=MINUTES * 60, progress=ProgressLine())
        failed = [run for run in runs if run.status is not Status.SUCCEEDED]
        if failed:
            raise SystemExit("\n".join(f"run {run.id} {run.status.value}: {run.error}" for run in failed))
        print("Requesting maps, slices of log p, and stability")
        data = fetch(client, runs)
    except ApiError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe runs continue. Run the same command again to wait for them.", file=sys.stderr)
        return 130
    (out / "gallery").mkdir(parents=True, exist_ok=True)
    for number, (key, (_, draw, _)) in enumerate(FIGURES.items(), start=1):
        draw(data).savefig(
            out / "gallery" / file_name(number, key), dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None}
        )
    (out / "gallery.md").write_text(page(data))
    print(f"Written: {out / 'gallery.md'} and {len(FIGURES)} pictures beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
