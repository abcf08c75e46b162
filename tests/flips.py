"""Damaged files."""

import random
from collections.abc import Iterator


def flipped(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield copies of the content with one bit flipped each: half of them anywhere, half near the ends, which have the
    structure of a file."""
    chance = random.Random(seed)
    for number in range(count):
        edge = chance.choice([chance.randrange(4096), -1 - chance.randrange(4096)])
        at = chance.randrange(len(content)) if number % 2 else max(-len(content), min(edge, len(content) - 1))
        damaged = bytearray(content)
        damaged[at] ^= 1 << chance.randrange(8)
        yield bytes(damaged)
