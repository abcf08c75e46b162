"""Durations as text."""


def duration(seconds: float | None) -> str:
    """Return a duration such as "2 min 05 s", "under 1 s" for half a second or less; "—" for None."""
    if seconds is None:
        return "—"
    seconds = round(seconds)
    if seconds < 1:
        return "under 1 s"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
