"""Schedules of λ. `(lambda_, step, total_steps, *, ...) -> float`: the λ in force at a step."""

from backend.shared.catalog.entry import Entry

SCHEDULES = (
    Entry("constant", "Constant", "The same λ from the first step to the last.", "worker.schedules.constant:constant"),
)
