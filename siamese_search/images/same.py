"""Whether two picture files show the same, entirely."""

from typing import BinaryIO

import numpy as np

from siamese_search.images.decode import finish, open_image, prepare
from siamese_search.images.reasons import image_errors


def same_picture(first: BinaryIO, second: BinaryIO, *, max_pixels: int) -> bool:
    """Tell whether two open files show the same picture pixel for pixel.

    Raises ImageError, whose path is "0" or "1" for the file that is to blame.
    """
    pixels = []
    for number, file in enumerate((first, second)):
        with image_errors(str(number)), open_image(file) as image:
            pixels.append(finish(image, prepare(image, None, max_pixels=max_pixels), None).pixels)
    return np.array_equal(pixels[0], pixels[1])
