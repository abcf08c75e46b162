"""Scores of in-distribution images from features: nearest neighbours, Mahalanobis distance and virtual logit.

Each takes the features of training images and of the images to score, and returns one number per image, higher for
in-distribution.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from densitylab.worker.evaluations.head import Head

DISTANCES_AT_ONCE = 20_000_000  # bounds the memory of a block of distances
RIDGE = 1e-6  # added to the scatter matrix, which has no inverse where a feature is constant


def nearest_neighbour(train: np.ndarray, features: np.ndarray, *, neighbours: int) -> np.ndarray:
    """Return −‖z − z_(k)‖₂, z a feature divided by its norm and z_(k) its k-th nearest training feature.

    Sun, Ming, Zhu, Li, *Out-of-Distribution Detection with Deep Nearest Neighbors*, ICML 2022.

    Args:
        train: (M, D) training features.
        features: (N, D).
        neighbours: k, at least 1; with fewer training images the farthest of them counts.
    """
    train, features = _unit(train), _unit(features)
    k = min(neighbours, len(train))
    rows = max(1, DISTANCES_AT_ONCE // len(train))
    norms = (train**2).sum(axis=1)
    distances = []
    for begin in range(0, len(features), rows):
        part = features[begin : begin + rows]
        squares = (part**2).sum(axis=1)[:, None] + norms - 2 * part @ train.T
        distances.append(np.partition(squares, k - 1, axis=1)[:, k - 1])
    return -np.sqrt(np.maximum(np.concatenate(distances), 0.0))


def mahalanobis(train: np.ndarray, labels: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return −min_c (f − μ_c)ᵀ Σ⁻¹ (f − μ_c), with the mean of each class and one covariance of all.

    Lee, Lee, Lee, Shin, *A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks*,
    NeurIPS 2018, for the last layer alone. Σ is (S + 1e-6 · I) / M, with S the scatter about the means.

    Args:
        train: (M, D) training features.
        labels: (M,) their classes; those without an image have no mean.
        features: (N, D).
    """
    classes, members = np.unique(labels, return_inverse=True)
    means = np.stack([train[members == number].mean(axis=0) for number in range(len(classes))])
    centred = train - means[members]
    covariance = (centred.T @ centred + RIDGE * np.eye(train.shape[1])) / len(train)
    # with Σ = L Lᵀ the distance is that of L⁻¹ f and L⁻¹ μ
    factor = np.linalg.cholesky(covariance)
    white, centres = np.linalg.solve(factor, features.T), np.linalg.solve(factor, means.T)
    return -np.min([((white - centre[:, None]) ** 2).sum(axis=0) for centre in centres.T], axis=0)


def virtual_logit(train: Head, here: Head, *, dimension: int | None) -> np.ndarray:
    """Return logsumexp f(x) − α ‖r(x)‖₂, r the part of the feature outside of the training features' main subspace.

    Wang, Li, Feng, Zhang, *ViM: Out-Of-Distribution with Virtual-logit Matching*, CVPR 2022. Features are centred at
    −W⁺b, where all logits are 0; α scales the mean norm of r to the mean largest logit, both of training images.

    Args:
        train: features of training images, with the layer.
        here: features to score, of the same layer.
        dimension: of the main subspace; None, or at least D: half of the D features.
    """
    width = train.features.shape[1]
    kept = width // 2 if dimension is None or dimension >= width else dimension
    origin = -np.linalg.pinv(train.weight) @ train.bias
    centred = train.features - origin
    _, directions = np.linalg.eigh(centred.T @ centred / len(centred))  # by ascending variance
    rest = directions[:, : width - kept]
    alpha = train.logits.max(axis=1).mean() / np.linalg.norm(centred @ rest, axis=1).mean()
    residual = np.linalg.norm((here.features - origin) @ rest, axis=1)
    return logsumexp(here.logits, axis=1) - alpha * residual


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
