"""Origin of the weights of a run, and what is known of its training."""

from densitylab.backend.shared.contracts import Origin, Run

ORIGINS = {Origin.TRAINED: "trained here", Origin.IMPORTED: "imported", Origin.LOGGED: "logged"}


def lambda_of(run: Run) -> float | None:
    """Return λ of the run's training; None: not known, of a model that was trained elsewhere."""
    return run.spec.lambda_ if run.origin is Origin.TRAINED else run.lambda_


def seed_of(run: Run) -> int | None:
    """Return the seed of the run's training; None: not known, of a model that was trained elsewhere."""
    return run.spec.seed if run.origin is Origin.TRAINED else None
