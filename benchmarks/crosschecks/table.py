"""Rows of the cross-check table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A metric by our code and by another package. tolerance: largest allowed difference; None: shown only."""

    metric: str
    subject: str
    package: str
    ours: float
    theirs: float
    tolerance: float | None
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.tolerance is None or abs(self.ours - self.theirs) <= self.tolerance

    def line(self) -> str:
        bound = "—" if self.tolerance is None else f"{self.tolerance:g}"
        verdict = "—" if self.tolerance is None else "yes" if self.holds else "**no**"
        difference = abs(self.ours - self.theirs)
        return (
            f"| {self.metric} | {self.subject} | {self.package} | {self.ours:.6g} | {self.theirs:.6g} | "
            f"{difference:.2g} | {bound} | {verdict} | {self.note} |"
        )


HEAD = """| metric | model | package | ours | theirs | difference | tolerance | agrees | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""
