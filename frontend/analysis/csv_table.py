"""Tables as CSV text."""

import pandas as pd

from densitylab.backend.shared.contracts import csv_cell


def to_csv(table: pd.DataFrame) -> str:
    """Return the table as CSV (RFC 4180), in which no text is a formula to a spreadsheet."""
    return table.map(csv_cell).rename(columns=csv_cell).to_csv(index=False, lineterminator="\r\n")
