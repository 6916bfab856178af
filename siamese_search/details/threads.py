"""How many threads OpenCV computes with."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def one_thread() -> Iterator[None]:
    """Let OpenCV compute in the calling thread alone: for whoever compares pictures in several threads of its own.

    The setting is the process's; what the host had chosen is restored.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
