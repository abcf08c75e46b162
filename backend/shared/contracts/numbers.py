"""Numbers in text."""


def exact_float(text: str) -> float:
    """Return the number, which is 0 only if the text says so.

    Raises:
        ValueError: the text is no number, or the number is too small for a float and would become 0.
    """
    number = float(text)
    if number == 0 and any(digit in "123456789" for digit in text.lower().partition("e")[0]):
        raise ValueError(f"{text} rounds to 0; write 0, or a larger number")
    return number
