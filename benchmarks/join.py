"""All pairs within a threshold: simsearch by cells, beside FAISS comparing every embedding with every other.

    python benchmarks/join.py [--sizes 10000 100000 1000000] [--threshold 0.35] [--queries 1000] [--folder DIR]

Galleries of each size are filled with clustered embeddings, of which 2 % are near-duplicates that are known
(`filled.py`). Each of these runs in a process of its own, on one thread: finding the cells of the gallery, which is
done once; all pairs with `Join`, from opening the gallery to the measured recall; and FAISS's `range_search`, in an
`IndexFlatL2`, with some of the embeddings, from which the time for all is reckoned. Told are seconds of CPU (of FAISS,
those of the search alone), the most memory that the join had, and how many it found of the planted pairs and of those
that FAISS found.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

import faiss
import numpy as np
from numpy.typing import NDArray

from cold_query import gallery_of
from filled import planted_pairs
from measures import RESULTS, about, cost_of, keep, plot, slope, table, tell
from siamese_search.gallery import Gallery
from siamese_search.gallery.codes import decode
from siamese_search.gallery.join import Join
from siamese_search.gallery.local.index import INDEX
from siamese_search.gallery.local.store import EXACT_UP_TO, LocalStore

PLANTED = 0.02
QUICK = (2000, 20_000)
QUICK_EXACT_UP_TO = 1000

Pairs = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What was paid and found at one size; seconds are of CPU, memory is in bytes, shares are of pairs found."""

    size: int
    cells: float
    join: float
    memory: int
    pairs: int
    exact: float
    planted: float
    sampled: float
    told: float

    @property
    def ratio(self) -> float:
        """How many times as much the exact way costs."""
        return self.exact / self.join


def main() -> None:
    """Measure, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="pictures in the galleries")
    parser.add_argument("--threshold", type=float, default=0.35)
    parser.add_argument("--queries", type=int, default=1000, help="embeddings that FAISS searches with")
    parser.add_argument("--folder", type=Path, help="where the galleries are kept; a temporary one by default")
    parser.add_argument("--quick", action="store_true", help=f"sizes {QUICK}, in cells beyond {QUICK_EXACT_UP_TO:,}")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    sizes, exact_up_to = (QUICK, QUICK_EXACT_UP_TO) if given.quick else (given.sizes, EXACT_UP_TO)
    with tempfile.TemporaryDirectory(prefix="join-") as temporary:
        found = [
            joined(
                size,
                gallery_of(size, given.folder or Path(temporary)),
                Path(temporary),
                threshold=given.threshold,
                queries=given.queries,
                exact_up_to=exact_up_to,
            )
            for size in sizes
        ]
    print(about("faiss-cpu", "numpy"))
    print(f"Threshold {given.threshold:g}; range_search of {given.queries:,} embeddings at most, scaled to all.\n")
    columns = ["pictures", "cells s", "join s", "range_search s", "ratio", "with cells", "pairs", "of the planted"]
    columns += ["of a sample's", "as told", "MB"]
    rows = [
        [
            f"{one.size:,}",
            f"{one.cells:,.1f}",
            f"{one.join:,.1f}",
            f"{one.exact:,.1f}",
            f"{one.ratio:,.1f}",
            f"{one.exact / (one.join + one.cells):,.1f}",
            f"{one.pairs:,}",
            *(f"{share:.4f}" for share in (one.planted, one.sampled, one.told)),
            f"{one.memory / 1e6:,.0f}",
        ]
        for one in found
    ]
    print(table(columns, rows))
    lines = {"simsearch": [one.join for one in found], "FAISS range_search": [one.exact for one in found]}
    if len(found) > 1:
        last = [one.size for one in found[-2:]]
        powers = ", ".join(f"{name} {slope(last, costs[-2:]):.2f}" for name, costs in lines.items())
        print(f"From {last[0]:,} to {last[1]:,} pictures, costs grow with the power: {powers}")
    keep("join", {"threshold": given.threshold, "found": [asdict(one) for one in found]}, given.out)
    plot(
        given.out / "join.svg",
        f"All pairs within {given.threshold:g}",
        {name: (sizes, costs) for name, costs in lines.items()},
        size="pictures in the gallery",
        cost="seconds of CPU",
    )


def joined(size: int, gallery: Path, folder: Path, *, threshold: float, queries: int, exact_up_to: int) -> Joined:
    """Measure one size, each way in its own process."""

    def run(way: str, *arguments: object) -> tuple[float, int, dict[str, NDArray[np.generic]]]:
        tell(f"{size:,}: {way}")
        result = folder / f"{way}.npz"
        code = f"import join; join.{way}(*{[str(gallery), str(result), exact_up_to, *arguments]!r})"
        cost = cost_of(
            (sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {code}")
        )
        with np.load(result) as saved:
            return cost.cpu, cost.peak, dict(saved)

    cells, _, _ = run("find_cells")
    cpu, memory, ours = run("find_pairs", threshold)
    _, _, theirs = run("range_search", threshold, queries)
    planted = planted_pairs(size, planted=PLANTED, seed=0)
    true = theirs["pairs"]
    return Joined(
        size=size,
        cells=cells,
        join=cpu,
        memory=memory,
        pairs=len(ours["pairs"]),
        exact=float(theirs["seconds"]),
        planted=share_found(planted.ids[planted.distances <= threshold - 1e-3], ours["pairs"]),
        sampled=share_found(true, ours["pairs"]),
        told=float(ours["told"]),
    )


def share_found(wanted: NDArray[np.generic], found: NDArray[np.generic]) -> float:
    """Return the share of some pairs that are among others; 1 when there are none."""
    keys, others = (np.asarray(pairs, np.int64) @ np.array([1 << 32, 1]) for pairs in (wanted, found))
    return float(np.isin(keys, others).mean()) if len(wanted) else 1.0


# -- what runs in processes of its own


def find_cells(folder: str, result: str, exact_up_to: int) -> None:
    """Index a gallery anew."""
    (Path(folder) / INDEX).unlink(missing_ok=True)
    with Gallery(LocalStore(Path(folder), exact_up_to=exact_up_to)) as gallery:
        tell(gallery.info().index_kind)
    np.savez(result)


def find_pairs(folder: str, result: str, exact_up_to: int, threshold: float) -> None:
    """Find all pairs by cells."""
    with Gallery(LocalStore(Path(folder), exact_up_to=exact_up_to)) as gallery:
        join = Join(gallery.embeddings(), threshold)
    found = [np.stack([pairs.first, pairs.second], axis=1) for pairs in join]
    coverage = join.coverage
    tell(json.dumps(asdict(coverage)))
    told = 1.0 if coverage.exact or not coverage.known else coverage.found / coverage.known
    np.savez(result, pairs=np.concatenate([np.empty((0, 2), np.int64), *found]), told=told)


def range_search(folder: str, result: str, _exact_up_to: int, threshold: float, queries: int) -> None:
    """Search with some of the embeddings among all, and reckon how long that would take with all."""
    faiss.omp_set_num_threads(1)
    with Gallery(folder) as gallery:
        embeddings = gallery.embeddings()
    vectors = decode(embeddings.codes, embeddings.dim)
    ids = np.arange(1, len(vectors) + 1)  # as `filled.py` gives them
    index = faiss.IndexFlatL2(embeddings.dim)
    index.add(vectors)
    rows = np.sort(np.random.default_rng(1).permutation(len(vectors))[: queries if len(vectors) > 10_000 else None])
    begin = process_time()
    limits, _, others = index.range_search(vectors[rows], threshold**2 + 1e-5)
    seconds = (process_time() - begin) * len(vectors) / len(rows)
    firsts = np.repeat(rows, np.diff(limits).astype(np.int64))
    apart = np.linalg.norm(vectors[firsts].astype(np.float64) - vectors[others], axis=1)
    right = (apart <= threshold) & (firsts != others)
    pairs = np.unique(np.sort(np.stack([ids[firsts[right]], ids[others[right]]], axis=1), axis=1), axis=0)
    np.savez(result, pairs=pairs, seconds=seconds)


if __name__ == "__main__":
    main()
