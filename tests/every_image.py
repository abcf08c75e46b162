"""Images in each format and mode that Pillow writes, for tests of whatever reads images."""

import io

import numpy as np
from PIL import Image

GREY = ("1", "L", "LA", "I", "I;16", "F")
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "La", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def every_image() -> list[tuple[str, bytes]]:
    """Return ("FORMAT MODE", content) of images of 16×16 pixels."""
    Image.init()
    grey, files = Image.fromarray(RAMP), []
    for kind in sorted(Image.SAVE):
        for mode in GREY + COLOUR:
            file = io.BytesIO()
            try:
                if mode == "I;16":
                    image = Image.fromarray(RAMP.astype(np.uint16) * 257)
                else:
                    image = (grey if mode in GREY or mode == "P" else grey.convert("RGB")).convert(mode)
                image.save(file, kind)
            except (OSError, ValueError, KeyError, TypeError, SyntaxError):
                continue  # Pillow does not write this mode in this format
            files.append((f"{kind} {mode}", file.getvalue()))
    return files
