"""Distribution functions from SciPy, which takes 0.2 s to import and is imported when one is first used."""

import importlib
from functools import cache
from types import ModuleType


def normal_quantile(probability: float) -> float:
    """Return z with P(Z ≤ z) = probability for a standard normal Z."""
    return float(_special().ndtri(probability))


def t_probability(t: float, degrees: int) -> float:
    """Return P(T ≤ t) of Student's distribution."""
    return float(_special().stdtr(degrees, t))


def t_quantile(probability: float, degrees: int) -> float:
    """Return t with P(T ≤ t) = probability of Student's distribution."""
    return float(_special().stdtrit(degrees, probability))


def noncentral_t_probability(t: float, degrees: int, shift: float) -> float:
    """Return P(T ≤ t) of the noncentral t distribution, whose noncentrality is `shift`."""
    return float(_special().nctdtr(degrees, shift, t))


def binomial_probability(successes: int, trials: int, probability: float) -> float:
    """Return P(X ≤ successes) of the binomial distribution."""
    return float(_special().bdtr(successes, trials, probability))


@cache
def _special() -> ModuleType:
    return importlib.import_module("scipy.special")  # scipy.stats takes half a second
