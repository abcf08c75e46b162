"""How long work ends early when it is told to."""


class Stopped(Exception):
    """Raised by work whose `should_stop()` answered True; nothing half-made is left behind."""
