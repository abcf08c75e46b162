"""Similarity of two maps of the same image. Each function: (N, C, H, W), (N, C, H, W) -> (N,) float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.stats import rankdata
from torch import Tensor

TOP_SHARE = 0.1  # of the features, for top_k
WINDOW, SIGMA = 11, 1.5  # of SSIM


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return a·b / ‖a‖₂‖b‖₂, NaN if a map is zero."""
    a, b = a.flatten(1).double(), b.flatten(1).double()
    return (a * b).sum(dim=1) / (torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1))


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Return the rank correlation, with mean ranks for ties; NaN if a map is constant."""
    ranks = [torch.from_numpy(rankdata(m.flatten(1).double().cpu().numpy(), axis=1)) for m in (a, b)]
    centred = [rank - rank.mean(dim=1, keepdim=True) for rank in ranks]
    return cosine(centred[0], centred[1]).to(a.device)


def top_k(a: Tensor, b: Tensor) -> Tensor:
    """Return the overlap of the top 10 % of features by |a| and by |b|; 0.1 for a random map."""
    k = max(1, round(TOP_SHARE * a[0].numel()))
    chosen = [
        torch.zeros_like(m.flatten(1), dtype=torch.bool).scatter(1, m.flatten(1).abs().topk(k, dim=1).indices, True)
        for m in (a, b)
    ]
    return (chosen[0] & chosen[1]).sum(dim=1).double() / k


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004), of scaled maps.

    Each map is first divided by its largest |value|. Gaussian window of 11 pixels (smaller maps: the largest odd size
    that fits) and σ = 1.5, dynamic range L = 2 (from −1 to 1), K = (0.01, 0.03); the mean over all windows inside the
    map, and over channels. NaN if a map is zero.
    """
    a, b = (m.double() / m.double().abs().amax(dim=(1, 2, 3), keepdim=True) for m in (a, b))
    side = min(WINDOW, *(size - 1 + size % 2 for size in a.shape[2:]))
    rows, columns = (_windows(size, side).to(a.device) for size in a.shape[2:])

    def local(m: Tensor) -> Tensor:
        return rows @ m @ columns.T  # the window is a product; in float64 a hundred times as fast as conv2d on CPUs

    mean_a, mean_b = local(a), local(b)
    variances = local(a * a) - mean_a**2 + local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    index = (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    return index.flatten(1).mean(dim=1)


def _windows(size: int, side: int) -> Tensor:
    """Return (size − side + 1, size), the weights of each Gaussian window of that side along one dimension."""
    offset = torch.arange(size) - torch.arange(size - side + 1)[:, None]
    weights = (-((offset - side // 2).double() ** 2) / (2 * SIGMA**2)).exp() * ((offset >= 0) & (offset < side))
    return weights / weights.sum(dim=1, keepdim=True)


def relative_l2(a: Tensor, b: Tensor) -> Tensor:
    """Return ‖b − a‖₂ / ‖a‖₂, NaN if a is zero."""
    size = torch.linalg.vector_norm(a.flatten(1).double(), dim=1)
    return torch.where(size > 0, l2(a, b) / size, torch.nan)


def l2(a: Tensor, b: Tensor) -> Tensor:
    """Return ‖b − a‖₂, the only metric here that depends on the scale of the maps."""
    return torch.linalg.vector_norm((b - a).flatten(1).double(), dim=1)


# by name, with whether higher is more similar
SIMILARITIES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], bool]] = {
    "cosine": (cosine, True),
    "spearman": (spearman, True),
    "ssim": (ssim, True),
    "top_k": (top_k, True),
    "relative_l2": (relative_l2, False),
    "l2": (l2, False),
}
