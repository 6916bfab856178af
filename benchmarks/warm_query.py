"""What a search costs in a gallery that is open, beside FAISS comparing with every embedding.

    python benchmarks/warm_query.py [--sizes 10000 100000 1000000] [--queries 500] [--folder DIR]

Galleries of each size are filled with clustered embeddings (`filled.py`). Embeddings near those in the gallery are
searched with `Gallery.search_vectors`, paths included, and with `faiss.IndexFlatL2`, one at a time, in turn, ten hits
each, on one thread. Also told: how many of the exact ten were found, and by how much shown distances were wrong.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import faiss
import numpy as np
from numpy.typing import NDArray

from cold_query import gallery_of
from measures import RESULTS, about, keep, plot, table, tell
from siamese_search.gallery import Gallery

K = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """Searches among `size` pictures: seconds of each, ours and FAISS's, and of reading all once; what was found."""

    size: int
    kind: str
    ours: NDArray[np.float64]
    exact: NDArray[np.float64]
    read_once: float
    recall: float
    largest_error: float


def main() -> None:
    """Measure, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="pictures in the galleries")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="where the galleries are kept; a temporary one by default")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    faiss.omp_set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="warm-query-") as temporary:
        found = [
            searched(size, gallery_of(size, given.folder or Path(temporary)), given.queries) for size in given.sizes
        ]
    print(about("faiss-cpu", "numpy"))
    for one in found:
        print(f"{one.size:,}: {one.kind}")
    rows = [
        [
            f"{one.size:,}",
            *(f"{1e3 * np.percentile(seconds, share):.2f}" for seconds in (one.ours, one.exact) for share in (50, 99)),
            f"{np.median(one.ours) / np.median(one.exact):.2f}",
            f"{1e3 * one.read_once:.2f}",
            f"{one.recall:.4f}",
            f"{one.largest_error:.1e}",
        ]
        for one in found
    ]
    columns = [
        "pictures",
        "p50 ms",
        "p99 ms",
        "FAISS Flat p50",
        "p99",
        "ratio",
        "read once",
        f"recall@{K}",
        "largest error",
    ]
    print(table(columns, rows))
    medians = {
        "simsearch": [float(np.median(one.ours)) for one in found],
        "FAISS IndexFlatL2": [float(np.median(one.exact)) for one in found],
    }
    keep(
        "warm_query",
        {
            "sizes": given.sizes,
            "p50": medians,
            "p99": [float(np.percentile(one.ours, 99)) for one in found],
            "recall": [one.recall for one in found],
        },
        given.out,
    )
    plot(
        given.out / "warm_query.svg",
        "One search in an open gallery",
        {name: (given.sizes, [1e3 * seconds for seconds in of_size]) for name, of_size in medians.items()},
        size="pictures in the gallery",
        cost="milliseconds, median",
    )


def searched(size: int, folder: Path, count: int) -> Warm:
    """Search in one gallery, the two ways in turn."""
    with Gallery(folder) as gallery:
        tell(f"opening a gallery of {size:,}")
        kind = gallery.info().index_kind
        vectors = gallery.vectors_of(range(1, size + 1))
        flat = faiss.IndexFlatL2(vectors.shape[1])
        flat.add(vectors)
        read_once = min(seconds_of(lambda: np.dot(vectors.ravel(), vectors.ravel())) for _ in range(5))
        rng = np.random.default_rng(size)
        queries = vectors[rng.choice(size, count)] + 0.3 / 16 * rng.standard_normal(
            (count, vectors.shape[1]), np.float32
        )
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        paths = {item.id: item.path for item in gallery.items()}
        for query in queries[:20]:  # until everything is in memory
            gallery.search_vectors(query[None], k=K)
        ours, exact, right, errors = [], [], 0, []
        for query in queries:
            begin = perf_counter()
            (hits,) = gallery.search_vectors(query[None], k=K)
            between = perf_counter()
            _, rows = flat.search(query[None], K)
            exact.append(perf_counter() - between)
            ours.append(between - begin)
            true = {paths[row + 1]: float(np.linalg.norm(query - vectors[row])) for row in rows[0]}
            both = [hit for hit in hits if hit.path in true]
            right += len(both)
            errors += [abs(hit.distance - true[hit.path]) for hit in both]
    return Warm(
        size=size,
        kind=kind,
        ours=np.array(ours),
        exact=np.array(exact),
        read_once=read_once,
        recall=right / (K * count),
        largest_error=max(errors),
    )


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    begin = perf_counter()
    work()
    return perf_counter() - begin


if __name__ == "__main__":
    main()
