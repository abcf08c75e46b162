"""Compute the figures of evaluations again from their stored arrays, with NumPy and SciPy alone.

    python recompute.py evaluations.json folder

`evaluations.json` is the answer of GET /api/v1/runs/{run}/evaluations, and `folder` has the run's artifacts {name}.npz.
Each value and each curve, with its interval, is printed beside the stored one where they differ by more than the
rounding of single precision. The exit code is 1 if any does, and 0 otherwise.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

RELATIVE, ABSOLUTE = 1e-4, 2e-5  # of stored single-precision numbers
TPR, BINS, HISTOGRAM_BINS = 0.95, 15, 40


def proportion(successes):
    """Return (share, low, high) of booleans, with the interval of Wilson 1927."""
    n = len(successes)
    if n == 0:
        return None, None, None
    p, z = np.mean(successes), norm.ppf(0.975)
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return p, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def resamples(strata, count=1000, seed=0):
    """Yield rows of indices, each a resample that keeps the size of every stratum; the rows of all models are equal."""
    n = len(strata)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    rng, at_once = np.random.default_rng(seed), max(1, min(count, 4_000_000 // n))
    for begin in range(0, count, at_once):
        rows = np.empty((min(at_once, count - begin), n), np.int64)
        for member in members:
            rows[:, member] = member[rng.integers(0, len(member), (len(rows), len(member)))]
        yield rows


def mean(values, strata):
    """Return (mean, low, high) with the bootstrap interval, stratified; none of them without values."""
    values = np.asarray(values, float)
    if len(values) == 0:
        return None, None, None
    drawn = np.concatenate([values[rows].mean(axis=1) for rows in resamples(strata)])
    return values.mean(), *np.quantile(drawn, [0.025, 0.975])


def known_mean(values, strata, among=True):
    """Return `mean` of the finite values among some."""
    known = np.isfinite(values) & among
    return mean(values[known], strata[known])


def statistic(function, strata):
    """Return (value, low, high) of a statistic of rows of indices; the interval includes the value."""
    if len(strata) == 0:
        return None, None, None
    value = function(np.arange(len(strata))[None])[0]
    low, high = np.quantile(np.concatenate([function(rows) for rows in resamples(strata)]), [0.025, 0.975])
    return value, min(low, value), max(high, value)


def accuracy(item, a):
    label, correct, confidence = a["label"], a["correct"], a["confidence"]
    finite = np.isfinite(a["cross_entropy"])
    bins = np.clip(np.ceil(np.nan_to_num(confidence) * BINS).astype(int) - 1, 0, BINS - 1)
    finite_bins, surplus = bins[finite], (correct - confidence)[finite]

    def calibration_error(rows):
        return np.array([np.abs(np.bincount(finite_bins[row], surplus[row])).sum() / len(row) for row in rows])

    values = {
        "accuracy": proportion(correct),
        "cross_entropy": mean(a["cross_entropy"][finite], label[finite]),
        "calibration_error": statistic(calibration_error, label[finite]),
    }
    return values, {"reliability": [proportion(correct[finite & (bins == b)]) for b in np.unique(finite_bins)]}


def confusion(item, a):
    label, correct = a["label"], a["correct"]
    classes = len(item["curves"]["accuracy"]["x"])
    each = [proportion(correct[label == c]) for c in range(classes)]
    present = np.unique(label)

    def accuracies(rows):
        return np.stack([(correct & (label == c))[rows].sum(axis=1) / (label == c).sum() for c in present], axis=1)

    values = {f"class_{c}": value for c, value in enumerate(each)}
    values["mean"] = statistic(lambda rows: accuracies(rows).mean(axis=1), label)
    values["worst"] = statistic(lambda rows: accuracies(rows).min(axis=1), label)
    curves = {"accuracy": each}
    for name, curve in item["curves"].items():
        if name.startswith("confusion_"):
            predicted = a["predicted"][label == int(name.removeprefix("confusion_"))]
            curves[name] = [proportion(predicted == x) for x in curve["x"]]
    return values, curves


def groups(item, a):
    group, correct, train = a["group"], a["correct"], a["train/group"]
    count = len(item["curves"]["accuracy"]["x"])
    each = [proportion(correct[group == g]) for g in range(count)]
    present = np.unique(group)
    sizes = np.array([(group == g).sum() for g in present])
    weights = np.array([(train == g).sum() for g in present], float)
    weights = weights / weights.sum() if weights.sum() else np.full(len(present), 1 / len(present))

    def accuracies(rows):
        return np.stack([(correct & (group == g))[rows].sum(axis=1) for g in present], axis=1) / sizes

    values = {f"group_{g}": value for g, value in enumerate(each)}
    values["worst"] = statistic(lambda rows: accuracies(rows).min(axis=1), group)
    values["mean"] = statistic(lambda rows: accuracies(rows) @ sizes / sizes.sum(), group)
    values["mean_train"] = statistic(lambda rows: accuracies(rows) @ weights, group)
    values["gap"] = statistic(lambda rows: np.ptp(accuracies(rows), axis=1), group)
    return values, {"accuracy": each}


def corruptions(item, a):
    label, names = a["label"], [name.removesuffix("_at") for name in a if name.endswith("_at")]
    right = np.stack([a[f"{name}_at"] for name in names], axis=1)  # (N, corruptions, severities)

    def error(rows):
        own = 1 - right.mean(axis=2)[rows].mean(axis=1)
        divisor = 1 - a["reference"][rows].mean(axis=1) if "reference" in a else 1.0
        return (own / divisor).mean(axis=1)

    values = {name: mean(right[:, i].mean(axis=1), label) for i, name in enumerate(names)}
    values |= {"mean": mean(right.mean(axis=(1, 2)), label), "mce": statistic(error, label)}
    values["clean"] = mean(a["clean"], label)
    levels = range(right.shape[2])
    curves = {name: [mean(right[:, i, level], label) for level in levels] for i, name in enumerate(names)}
    curves["accuracy"] = [values["clean"], *(mean(right[:, :, level].mean(axis=1), label) for level in levels)]
    return values, curves


def leakage(item, a):
    defined, images = np.isfinite(a["share"]), ("indices", "label", "group")
    among = {name: True if name == "l2" else defined for name in a if name not in images}
    return {name: known_mean(a[name], a["label"], which) for name, which in among.items()}, {}


def energy_pointing(item, a):
    known = np.isfinite(a["energy"])
    values = {"chance": mean(a["chance"][known], a["label"][known])}
    for suffix in ("", "_random_map", "_random_weights"):
        energy, hit = a[f"energy{suffix}"], a[f"hit{suffix}"]
        defined = known & np.isfinite(energy)
        values[f"energy{suffix}"] = mean(energy[defined], a["label"][defined])
        values[f"hits{suffix}"] = proportion(hit[defined] > 0)
    return values, {}


def attack(item, a):
    columns = dict(zip(a["columns/epsilon"].tolist(), a["held"].T, strict=True))
    robust = columns[float(item["params"]["epsilons"][0])]
    values = {"accuracy": proportion(robust)}
    if "group" in a:
        member = a["group"][:, None] == np.unique(a["group"])
        values["worst_group"] = statistic(
            lambda rows: (robust[rows] @ member.astype(float) / member.sum(axis=0)).min(axis=1), a["group"]
        )
    values |= {name: proportion(a[name]) for name in ("white_box", "only_here") if name in a}
    return values, {"accuracy": [proportion(columns[x]) for x in item["curves"]["accuracy"]["x"]]}


def pixel_perturbation(item, a):
    label, values, curves = a["label"], {"unchanged_pixels": mean(a["unchanged_pixels"], a["label"])}, {}
    for metric in ("accuracy", "probability", "relative_probability"):
        areas = {}
        for order in ("most_first", "least_first", "random"):
            name = f"{order}_{metric}"
            at = a[f"{order}_correct" if metric == "accuracy" else f"{order}_probability_at"]
            at = at / at[:, :1].astype(float) if metric == "relative_probability" else at
            shares = item["curves"][name]["x"]
            areas[order] = np.trapezoid(at.astype(float), shares, axis=1) / shares[-1]
            values[name] = mean(areas[order], label)
            curves[name] = [proportion(column) if metric == "accuracy" else mean(column, label) for column in at.T]
        values[f"difference_{metric}"] = mean(areas["least_first"] - areas["most_first"], label)
    return values, curves


def gradient_steps(item, a):
    label, values, curves = a["label"], {}, {}
    for name, curve in item["curves"].items():
        if a[name].ndim == 1:  # a control, the same at every epsilon
            values[name] = known_mean(a[name], label)
            curves[name] = [values[name]] * len(curve["x"])
            continue
        points = [proportion(c) if c.dtype == bool else known_mean(c, label) for c in a[name].T]
        curves[name], values[name] = points, points[curve["x"].index(float(item["params"]["epsilons"][0]))]
    return values, curves


def histogram(numbers, low, high):
    finite = numbers[np.isfinite(numbers)]
    counts, _ = np.histogram(finite, np.linspace(low, high, HISTOGRAM_BINS + 1))
    return [(share, None, None) for share in counts / max(len(numbers), 1)]


def limits(*sets):
    together = np.concatenate([numbers[np.isfinite(numbers)] for numbers in sets])
    low, high = (together.min(), together.max()) if len(together) else (0.0, 1.0)
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def density(item, a):
    values, curves = {}, {}
    for quantity in ("log_density", "gradient_norm"):
        sets = {name: a.get(f"{name}/{quantity}") for name in ("train", "noise", "other")} | {"test": a[quantity]}
        sets = {name: numbers for name, numbers in sets.items() if numbers is not None}
        low, high = limits(*sets.values())
        for name, numbers in sets.items():
            finite = numbers[np.isfinite(numbers)]
            values[f"{quantity}_{name}"] = mean(finite, np.zeros(len(finite)))
            curves[f"{quantity}_{name}"] = histogram(numbers, low, high)
    return values, curves


def average_precision(positive, negative):
    found = np.cumsum(positive)
    return (positive / found[-1]) @ (found / np.maximum(found + np.cumsum(negative), 1))


def detection(rank, inside, levels):
    """Return AUROC, AUPR-In, AUPR-Out and FPR95 of thresholds `rank`, the highest first."""
    positive = np.bincount(rank, inside, minlength=levels)
    negative = np.bincount(rank, ~inside, minlength=levels)
    tp, fp = np.cumsum(positive), np.cumsum(negative)
    auroc = positive @ (fp[-1] - fp + negative / 2) / (tp[-1] * fp[-1])
    fpr = fp[np.argmax(tp >= TPR * tp[-1])] / fp[-1]
    return auroc, average_precision(positive, negative), average_precision(negative[::-1], positive[::-1]), fpr


def ood(item, a):
    values, curves = {}, {}
    for name in (name.removeprefix("out/") for name in a if name.startswith("out/")):
        scores = np.concatenate([a[name], a[f"out/{name}"]])
        if not np.isfinite(scores).all():
            values |= {f"{name}_{metric}": (None, None, None) for metric in ("auroc", "aupr_in", "aupr_out", "fpr95")}
            continue
        inside = np.arange(len(scores)) < len(a[name])
        _, rank = np.unique(-scores, return_inverse=True)
        levels = int(rank.max()) + 1
        own = detection(rank, inside, levels)
        drawn = np.array([detection(rank[row], inside[row], levels) for rows in resamples(inside) for row in rows])
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        for i, metric in enumerate(("auroc", "aupr_in", "aupr_out", "fpr95")):
            values[f"{name}_{metric}"] = (own[i], min(low[i], own[i]), max(high[i], own[i]))
        ends = limits(a[name], a[f"out/{name}"])
        curves[f"{name}_in"], curves[f"{name}_out"] = histogram(a[name], *ends), histogram(a[f"out/{name}"], *ends)
        curves[f"{name}_roc"] = _roc(item["curves"][f"{name}_roc"], scores, inside)
    return values, curves


def _roc(curve, scores, inside):
    """Return the true positive rate at each false positive rate of the curve; where it jumps, the nearest to the
    stored one that it passes."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each threshold
    tpr = np.append(0, np.cumsum(inside[order])[last]) / inside.sum()
    fpr = np.append(0, np.cumsum(~inside[order])[last]) / (~inside).sum()
    points = []
    for x, y in zip(curve["x"], curve["y"], strict=True):
        there = tpr[np.isclose(fpr, x)]
        points.append((there[np.argmin(np.abs(there - y))] if len(there) else None, None, None))
    return points


def stability(item, a):
    label, changed = a["label"], a["changed"]
    values = {"changed": proportion(changed), "displacement": mean(a["displacement"], label)}
    for name in (name for name in item["values"] if name not in values):
        plain = name.removesuffix("_unchanged")
        values[name] = known_mean(a[plain], label, ~changed if name != plain else True)
    return values, {}


def sensitivity(item, a):
    return {"sensitivity_max": known_mean(a["sensitivity_max"], a["label"])}, {}


def cascading_randomisation(item, a):
    label, values, curves = a["label"], {}, {}
    for name in ("cosine", "spearman", "ssim", "top_k"):
        curves[name] = [known_mean(column, label) for column in a[f"{name}_at"].T]
        values[name], values[f"{name}_chance"] = curves[name][-1], known_mean(a[f"{name}_chance"], label)
        curves[f"{name}_chance"] = [values[f"{name}_chance"]] * len(curves[name])
    return values, curves


ATTACKS = ("pgd_linf", "pgd_l2", "square_linf", "transfer_linf", "autoattack_linf", "autoattack_l2")
STEPS = ("input_gradient_perturbation", "density_perturbation")
OTHERS = (accuracy, confusion, groups, corruptions, leakage, energy_pointing, pixel_perturbation, density, ood)
OTHERS += (stability, sensitivity, cascading_randomisation)
BY_KEY = {**dict.fromkeys(ATTACKS, attack), **dict.fromkeys(STEPS, gradient_steps)}
BY_KEY |= {function.__name__: function for function in OTHERS}
COUNTS = ("in_images", "out_images", "train_images", "layers")  # values that are numbers of things


def compared(item, arrays):
    """Yield (figure, stored, computed) of an evaluation, each figure (value, low, high)."""
    values, curves = BY_KEY[item["key"]](item, arrays)
    for name, stored in item["values"].items():
        if name not in COUNTS:
            yield name, (stored["value"], stored["low"], stored["high"]), values.get(name)
    for name, curve in item["curves"].items():
        none = [None] * len(curve["x"])
        points = zip(curve["y"], curve["low"] or none, curve["high"] or none, strict=True)
        for x, stored, own in zip(curve["x"], points, curves.get(name) or none, strict=True):
            yield f"{name} at {x:g}", stored, own


def agree(stored, computed):
    """Return whether the three numbers are equal but for rounding."""
    if computed is None:
        return False
    pairs = list(zip(stored, computed, strict=True))
    if any((one is None) != (other is None) for one, other in pairs):
        return False
    return all(one is None or np.isclose(one, other, RELATIVE, ABSOLUTE) for one, other in pairs)


def main(answer, folder):
    items = json.loads(Path(answer).read_text())
    wrong = 0
    for item in items["items"] if isinstance(items, dict) else items:
        if item["key"] not in BY_KEY:
            print(f"{item['name']}: not known here")
            continue
        with np.load(Path(folder) / f"{item['name']}.npz") as file:
            figures = list(compared(item, dict(file)))
        differing = [figure for figure in figures if not agree(*figure[1:])]
        print(f"{item['name']}: {len(figures) - len(differing)} of {len(figures)} figures agree")
        for name, stored, computed in differing:
            print(f"  {name}: stored {stored}, computed {computed}")
        wrong += len(differing)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
