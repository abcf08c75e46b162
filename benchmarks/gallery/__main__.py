"""The paper's story in six pictures, with captions that hold what was measured.

    python -m benchmarks.gallery [--out FOLDER]

Launches 15 short runs on a running system (DENSITYLAB_API_URL) and waits; then asks for their maps, slices of log p and
measures, and writes gallery.md and the folder gallery. What is there already is not asked for again.
"""

import argparse
import sys
from pathlib import Path

from backend.shared.contracts import Status
from benchmarks.gallery.asked import MINUTES, REQUEST, ask
from benchmarks.gallery.page import FIGURES, file_name, page
from benchmarks.launched import launched
from frontend.client import ApiError, connect
from frontend.progress_line import ProgressLine

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
        print("Asking for maps, slices of log p, and stability")
        found = ask(client, runs)
    except ApiError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe runs go on without this window; the same command waits for them again.", file=sys.stderr)
        return 130
    (out / "gallery").mkdir(parents=True, exist_ok=True)
    for number, (key, (_, draw, _)) in enumerate(FIGURES.items(), start=1):
        draw(found).savefig(out / "gallery" / file_name(number, key), dpi=DOTS_PER_INCH, facecolor="white",
                            metadata={"Software": None})
    (out / "gallery.md").write_text(page(found))
    print(f"Written: {out / 'gallery.md'} and {len(FIGURES)} pictures beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
