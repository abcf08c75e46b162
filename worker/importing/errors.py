"""Errors of the import of models."""


class BadModelFile(ValueError):
    """A file that is no model, or does not fit; the message says what it is and what to do."""
