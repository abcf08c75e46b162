"""Find every figure of a study's page again from its runs, with NumPy and SciPy alone.

    python check.py leakage.md http://127.0.0.1:8000

The page is one that `densitylab study report NUMBER --out leakage.md` wrote; the address is that of a system that has
its runs. Means, intervals, λ, seeds, †, ★, spec hashes, and the answers of claims with the numbers in their reasons are
computed from GET /api/v1/runs and the runs' arrays by the rules of docs/statistics.md. Each one that differs is
printed. The exit code is 1 if any does, and 0 otherwise. Which λ a method is shown at is taken from the page.
"""

import io
import json
import math
import re
import sys
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from scipy import stats

BUDGETED, RESAMPLES, POWER, MOST_SEEDS = "accuracy.accuracy", 2000, 0.8, 1000
NO_RESULTS = ("method", "λ", "seeds", "runs")  # of the columns of a table of results
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


class System:
    """The API: reads the catalog, the runs and their files."""

    def __init__(self, address):
        self._address = address.rstrip("/") + "/api/v1/"
        self._ranges = {entry["key"]: entry["ranges"] for entry in self.get("catalog")["evaluation"]}
        self.run, self.arrays, self.members = cache(self._run), cache(self._arrays), cache(self._members)

    def get(self, path):
        with urlopen(self._address + path) as answer:
            return json.load(answer)

    def _run(self, number):
        return self.get(f"runs/{number}")

    def _members(self, experiment):
        members, cursor = [], ""
        while cursor is not None:
            page = self.get(f"runs?experiment={experiment}&limit=200" + (f"&cursor={cursor}" if cursor else ""))
            members, cursor = members + page["items"], page["next_cursor"]
        return members

    def _arrays(self, number, evaluation):
        try:
            with urlopen(f"{self._address}runs/{number}/artifacts/{evaluation}.npz") as answer:
                return dict(np.load(io.BytesIO(answer.read())))
        except OSError:
            return {}

    def evaluation(self, number, result):
        name = result.partition(".")[0]
        return next((item for item in self.run(number)["evaluations"] if item["name"] == name), {"key": name})

    def bounds(self, number, result):
        """Return the lowest and the highest possible value of a result."""
        value = result.partition(".")[2]
        for item in self._ranges.get(self.evaluation(number, result)["key"], []):
            if any(fnmatchcase(value, pattern) for pattern in item["names"]):
                low, high = item["low"], item["high"]
                return -math.inf if low is None else low, math.inf if high is None else high
        return -math.inf, math.inf

    def by_seed(self, numbers, result):
        """Return (values by seed, images of each if they are proportions, else None), the newest run of each seed."""
        values, images = {}, []
        for run in map(self.run, sorted(numbers)):
            if result.startswith("metrics."):
                curves = run["metrics"] if run["status"] == "succeeded" else {}
                found = {"value": curves.get(result.removeprefix("metrics.")), "low": None, "high": None}
            else:
                found = run["results"].get(result, {"value": None})
            if found["value"] is not None:
                values[run["spec"]["seed"]] = found["value"]
                images.append(found["n"] if is_proportion(found) else None)
        return values, None if None in images or not images else images

    def per_image(self, number, result):
        """Return the values of which the result is the mean, by the image's index; None where none are stored."""
        name, _, value = result.partition(".")
        arrays, mean = self.arrays(number, name), self.run(number)["results"][result]["value"]
        epsilons = self.evaluation(number, result).get("params", {}).get("epsilons")
        offered = [arrays.get(value), arrays.get("correct")]
        if "broken_at" in arrays and epsilons:
            broken = arrays["broken_at"].astype(float)
            offered.insert(1, np.where(np.isnan(broken), np.nan, broken > epsilons[0] * (1 + 1e-6)))
        for array in offered:
            if array is None or array.ndim != 1:
                continue
            array = array.astype(float)
            known = np.isfinite(array)
            if known.any() and np.isclose(array[known].mean(), mean, 1e-4):
                indices = arrays.get("indices", np.arange(len(array)))
                placed = np.full(indices.max() + 1, np.nan)
                placed[indices[known]] = array[known]
                return placed
        return None


def wilson(share, n):
    z2 = stats.norm.ppf(0.975) ** 2
    middle, half = share + z2 / (2 * n), math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    low, high = (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
    return 0.0 if share == 0 else max(low, 0.0), 1.0 if share == 1 else min(high, 1.0)


def is_proportion(found):
    """Return whether the interval of a result is Wilson's."""
    if None in (found["low"], found["high"]) or not found["n"] or not 0 <= found["value"] <= 1:
        return False
    return np.allclose((found["low"], found["high"]), wilson(found["value"], found["n"]), rtol=1e-9, atol=1e-9)


def clip(low, high, values, bounds):
    if min(values) < bounds[0] - 1e-6 or max(values) > bounds[1] + 1e-6:
        return low, high
    return max(low, min(bounds[0], *values)), min(high, max(bounds[1], *values))


def estimate(values, images, bounds):
    """Return (mean, low, high) over seeds; without an interval for one seed."""
    mean, n = np.mean(values), len(values)
    if n == 1:
        return mean, None, None
    half = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
    low, high = clip(mean - half, mean + half, values, (0.0, 1.0) if images else bounds)
    if images:
        ends = wilson(mean, min(images) * n)
        low, high = min(low, ends[0]), max(high, ends[1])
    return mean, low, high


def difference(system, first, second, result):
    """Return the paired t test over common seeds: mean, low, high, n, p and spread; None where there is none."""
    (ours, own), (theirs, other) = system.by_seed(first, result), system.by_seed(second, result)
    values = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    if not values:
        return None
    mean, n = float(np.mean(values)), len(values)
    if n == 1:
        return {"mean": mean, "low": None, "high": None, "n": n, "p": None, "spread": None}
    spread = max(float(np.std(values, ddof=1)), 1 / min(own + other) / math.sqrt(6) if own and other else 0.0)
    if spread == 0:
        return {"mean": mean, "low": mean, "high": mean, "n": n, "p": None if mean else 1.0, "spread": None}
    error = spread / math.sqrt(n)
    half, p = stats.t.ppf(0.975, n - 1) * error, 2 * stats.t.sf(abs(mean) / error, n - 1)
    low, high = (0.0, 1.0) if own and other else system.bounds(first[0], result)
    low, high = clip(mean - half, mean + half, values, (low - high, high - low))
    return {"mean": mean, "low": low, "high": high, "n": n, "p": p, "spread": spread}


def seeds_needed(distance, spread):
    if spread is None or spread == 0:
        return 2 if spread == 0 and distance else None

    def power(n):
        return 1 - stats.nct.cdf(stats.t.ppf(0.975, n - 1), n - 1, distance / spread * math.sqrt(n))

    return next((n for n in range(2, MOST_SEEDS + 1) if power(n) >= POWER), None)


def image_interval(system, first, second, result):
    """Return (low, high, images) of the bootstrap of the mean over common seeds; None where no arrays are stored."""
    ours, theirs = (
        {run["spec"]["seed"]: run["id"] for run in map(system.run, sorted(runs)) if result in run["results"]}
        for runs in (first, second)
    )
    seeds = sorted(ours.keys() & theirs.keys())
    pairs = [[system.per_image(side[seed], result) for side in (ours, theirs)] for seed in seeds]
    if not pairs or any(array is None for pair in pairs for array in pair):
        return None
    size = min(len(array) for pair in pairs for array in pair)
    means = [np.mean([pair[side][:size] for pair in pairs], axis=0) for side in (0, 1)]
    values = means[0] - means[1]
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    rng, rows = np.random.default_rng(0), max(1, 2_000_000 // len(values))
    drawn = [
        values[rng.integers(0, len(values), (min(rows, RESAMPLES - begin), len(values)))].mean(axis=1)
        for begin in range(0, RESAMPLES, rows)
    ]
    return *np.quantile(np.concatenate(drawn), [0.025, 0.975]), len(values)


def side(low, high, threshold, higher):
    if low is None or not (low > threshold or high < threshold):
        return "undecided"
    return "yes" if (low > threshold) == higher else "no"


def question(system, first, second, result, threshold, higher):
    """Return one half of a claim: its answers over seeds and over both, its seeds, those needed, and its images."""
    test, images = difference(system, first, second, result), image_interval(system, first, second, result)
    by_seeds = side(test["low"], test["high"], threshold, higher) if test and test["p"] is not None else "undecided"
    by_images = by_seeds if images is None else side(*images[:2], threshold, higher)
    return {
        "by_seeds": by_seeds,
        "verdict": by_seeds if by_images == by_seeds else "undecided",
        "leaning": side(test["mean"], test["mean"], threshold, higher) if test else "undecided",
        "seeds": test["n"] if test else 0,
        "tested": test is not None and test["p"] is not None,
        "needed": seeds_needed(abs(test["mean"] - threshold), test["spread"]) if test else None,
        "images": images and images[2],
    }


def claim(system, first, second, result, budget):
    """Return the verdict and the numbers of its reason: seeds, then those needed, images or points, as it has them."""
    higher = higher_is_better(system, [*first, *second], result)
    halves = [
        question(system, first, second, result, 0.0, higher),
        question(system, first, second, BUDGETED, -budget, True),
    ]
    verdicts, over_seeds = [half["verdict"] for half in halves], [half["by_seeds"] for half in halves]
    verdict = "no" if "no" in verdicts else "yes" if set(verdicts) == {"yes"} else "undecided"
    counts = [half["images"] for half in halves if half["images"]]
    numbers = {"seed": min(half["seeds"] for half in halves)}
    if verdict != "undecided" and len(counts) == 2:
        numbers["image"] = min(counts)
    decided = "no" in over_seeds or set(over_seeds) == {"yes"}
    if verdict == "undecided" and not decided and all(half["tested"] for half in halves):
        against = [half["needed"] for half in halves if half["leaning"] == "no"]
        unanswered = [half["needed"] for half in halves if half["by_seeds"] == "undecided"]
        if against:
            needed = min((count for count in against if count), default=None)
        else:
            needed = None if None in unanswered else max(unanswered, default=None)
        if needed:
            numbers["about"] = needed
    return verdict, numbers


def higher_is_better(system, numbers, result):
    found = [system.run(number)["results"].get(result) for number in numbers]
    return next((item["higher_is_better"] for item in found if item and item["higher_is_better"] is not None), None)


def best_rows(system, rows, results):
    """Return {(row, result)} of the best means that are apart from all others of their column (Holm over the table)."""
    tops, tests, undecided = {}, [], set()
    for result in results:
        higher = higher_is_better(system, [number for own in rows for number in own], result)
        values = [system.by_seed(own, result)[0] for own in rows]
        means = {i: np.mean(list(own.values())) for i, own in enumerate(values) if own}
        if higher is None or len(means) < 2:
            continue
        top = tops[result] = max(means, key=lambda i: means[i] if higher else -means[i])
        for other in means.keys() - {top}:
            test = difference(system, rows[top], rows[other], result)
            if test is None or test["p"] is None:
                undecided.add(result)
            else:
                tests.append((test["p"] if (test["mean"] > 0) == higher else 1.0, result))
    largest = 0.0
    for rank, (p, result) in enumerate(sorted(tests)):
        largest = max(largest, min(1.0, (len(tests) - rank) * p))
        undecided |= {result} if largest > 0.05 else set()
    return {(top, result) for result, top in tops.items() if result not in undecided}


def same(shown, own):
    """Return whether a number as it is written is this one, rounded to as many digits."""
    digits, _, exponent = shown.lower().partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    return own is not None and abs(float(shown) - own) <= unit * (0.5 + 1e-6)


def cell_agrees(text, own, seeds):
    """Return whether a cell shows this mean and interval of so many seeds."""
    text = text.removeprefix("★ ")
    if own is None:
        return text == "—"
    counted = re.search(r" \((?:n = )?(\d+)(?: seed)?\)$", text)
    mean, low, high = own
    numbers = NUMBER.findall(text[: counted.start()] if counted else text)
    if counted and int(counted[1]) != seeds:
        return False
    if low is None or max(high - mean, mean - low) <= 1e-9:
        return len(numbers) == 1 and same(numbers[0], mean)
    expected = [mean, high - mean] if "±" in text else [mean, low, high]
    return len(numbers) == len(expected) and all(map(same, numbers, expected))


def runs_of(text):
    """Return the runs of a text such as 1–3, 7."""
    parts = [part.split("–") for part in text.replace("—", "").split(", ") if part]
    return [number for part in parts for number in range(int(part[0]), int(part[-1]) + 1)]


def tables_of(page):
    """Return the tables below their headings, each a list of rows by column."""
    tables, heading, columns = {}, "", None
    for line in page.splitlines():
        if line.startswith("## "):
            heading, columns = line[3:], None
        elif line.startswith("| "):
            cells = [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if columns is None:
                columns, tables[heading] = cells, []
            elif set(cells) != {"---"}:
                tables[heading].append(dict(zip(columns, cells, strict=True)))
    return tables


def is_selected(page, heading):
    """Return whether a table shows each method at its selected λ, as the note below the tables of its title says."""
    title = heading.partition(": ")[0]
    return any("Of each method the λ" in part for part in page.split("\n## ") if part.partition(": ")[0] == title)


def edge(system, numbers):
    """Return whether λ is the lowest or the highest that was tried with these settings, or the only one."""
    run = system.run(numbers[0])
    own = {**run["spec"], "lambda_": None, "seed": None}
    tried = {
        other["spec"]["lambda_"]
        for other in system.members(run["experiment"])
        if {**other["spec"], "lambda_": None, "seed": None} == own and other["results"] and other["spec"]["lambda_"]
    }
    return run["spec"]["lambda_"] in (min(tried), max(tried))


def compared(name, shown, found, agrees):
    return None if agrees else (name, shown, found)


def of_table(system, heading, rows, results, selected):
    """Yield what differs in a table of results, see `differing`."""
    columns = {name: results.get(name.rstrip(" ↑↓")) for name in rows[0] if name not in NO_RESULTS}
    unnamed = [name for name, result in columns.items() if result is None]
    yield compared(f"{heading}, columns", unnamed, "not below Results", not unnamed)
    columns = {name: result for name, result in columns.items() if result is not None}
    rows = [(row, runs_of(row["runs"])) for row in rows if runs_of(row["runs"])]
    tested = [result for result in columns.values() if not result.startswith("metrics.")]
    best = best_rows(system, [own for _, own in rows], tested)
    for index, (row, own) in enumerate(rows):
        name, shown = f"{heading}, {row['method']}", row["λ"].removesuffix(" †")
        lambdas = {system.run(number)["spec"]["lambda_"] for number in own}
        yield compared(f"{name}, λ", shown, lambdas, len(lambdas) == 1 and same(shown, next(iter(lambdas))))
        marked = selected and lambdas != {0} and edge(system, own)
        yield compared(f"{name}, †", row["λ"] != shown, marked, (row["λ"] != shown) == marked)
        yield compared(f"{name}, seeds", row["seeds"], len(own), row["seeds"] == str(len(own)))
        for column, result in columns.items():
            values, images = system.by_seed(own, result)
            mean = estimate(list(values.values()), images, system.bounds(own[0], result)) if values else None
            found = "—" if mean is None else " ".join("—" if end is None else f"{end:.6g}" for end in mean)
            yield compared(f"{name}, {column}", row[column], found, cell_agrees(row[column], mean, len(values)))
            starred = row[column].startswith("★")
            yield compared(f"{name}, {column}, ★", starred, not starred, starred == ((index, result) in best))


def of_claim(system, row):
    """Yield what differs in the answer of a claim, see `differing`."""
    points = row["budget"].split()[0]
    verdict, numbers = claim(system, runs_of(row["first"]), runs_of(row["second"]), row["result"], float(points) / 100)
    name, reason = f"{row['claim']}, {row['about']}", row["reason"].replace(",", "")
    yield compared(f"{name}, answer", row["answer"], verdict, row["answer"].split()[-1] == verdict)
    patterns = {"seed": r"(\d+) seed", "about": r"about (\d+) would", "image": r"(\d+) image"}
    shown = {word: int(found[1]) for word, pattern in patterns.items() if (found := re.search(pattern, reason))}
    yield compared(f"{name}, reason", shown, numbers, shown == numbers)
    for stated in re.findall(r"([\d.]+) points", reason):
        yield compared(f"{name}, points", stated, points, stated == points)


def differing(page, system):
    """Yield (figure, as it is shown, as it is found) of what differs, and None for each figure that agrees."""
    tables = tables_of(page)
    for row in tables.get("Runs", []):
        for number, shown in zip(runs_of(row["runs"]), row["spec hashes"].split(), strict=True):
            found = system.run(number)["provenance"].get("spec_hash")
            yield compared(f"spec hash of run {number}", shown, found, shown == found)
    results = {row["column"]: row["result"] for row in tables.get("Results", [])}
    for heading, rows in tables.items():
        if rows and "λ" in rows[0] and heading != "Runs":
            yield from of_table(system, heading, rows, results, is_selected(page, heading))
    for row in tables.get("Claims", []):
        if row["result"] != "—":  # its runs have results
            yield from of_claim(system, row)


def main(file, address):
    figures = list(differing(Path(file).read_text(encoding="utf-8"), System(address)))
    wrong = [figure for figure in figures if figure is not None]
    for name, shown, found in wrong:
        print(f"{name}: shown {shown}, found {found}")
    print(f"{len(figures) - len(wrong)} of {len(figures)} figures agree")
    return int(bool(wrong) or not figures)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
