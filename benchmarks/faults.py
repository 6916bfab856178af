"""Everything that may go wrong with a gallery, done to it on purpose, many times.

    python benchmarks/faults.py                     all parts
    python benchmarks/faults.py kills flips         these parts
    python benchmarks/faults.py many --scale 0.1    a tenth of the work

Each part says in plain words what it did and saw; the exit code is 1 when anything was lost, wrong or crashed. The same
seed gives the same damage. A small random projection stands in for the encoder: what is tested here is everything else.
`disk` needs the right to mount a small file system, and otherwise limits the size of files instead.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from siamese_search.encoder import Encoder, load_encoder
from siamese_search.encoder.folder import GRAPH, SPEC, encoder_fingerprint, write_spec
from siamese_search.encoder.spec import EncoderSpec
from siamese_search.errors import EncoderError, GalleryError, ImageError, SimsearchError
from siamese_search.gallery import Gallery
from siamese_search.gallery import sync as sync_module
from siamese_search.gallery.local.store import EXACT_UP_TO, LocalStore
from siamese_search.images.sandbox import Decoder

SIZE, DIM = 16, 64
FEW = 50  # pictures beyond which an index has cells here
SMALL_BATCH = 8  # pictures a transaction, so that many of them are interrupted
fork = multiprocessing.get_context("fork")


class Failure(Exception):  # noqa: N818  what failed is a promise
    """A promise that was broken, in words."""


def check(condition: object, words: str) -> None:
    """Raise Failure with these words unless the condition holds."""
    if not condition:
        raise Failure(words)


# -- things to do it to


def make_encoder(folder: Path) -> Encoder:
    """Write and load an encoder that projects pictures of 16 pixels at random: microseconds a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    matrix = np.random.default_rng(7).normal(size=(SIZE * SIZE * 3, DIM)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["numbers", "middle"], ["centred"]),
        helper.make_node("Flatten", ["centred"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["projected"]),
        helper.make_node("LpNormalization", ["projected"], ["embedding"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "projection",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIM])],
        [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(np.float32(127.3), "middle")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / GRAPH)
    spec = EncoderSpec(
        name="projection", architecture="none", input_size=SIZE, channels=3, mean=127.0, std=128.0, dim=DIM,
        fingerprint=encoder_fingerprint(folder),
    )  # fmt: skip
    write_spec(folder, spec)
    return load_encoder(folder)


def picture(seed: int, side: int = 24) -> Image.Image:
    """Return a small picture that no other seed gives."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((side, side), Image.Resampling.BICUBIC)


def write_picture(path: Path, seed: int) -> None:
    """Write a picture with a time in the past, as if it had been there for long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)
    os.utime(path, (1_600_000_000 + seed, 1_600_000_000.5 + seed))


def contents(gallery: Gallery) -> dict[str, tuple[object, ...]]:
    """Return all that is kept of each picture, by path; raises when one is there twice or damaged."""
    items = gallery.items()
    vectors = gallery.vectors_of([item.id for item in items])
    return {
        str(item.path): (
            item.size, item.mtime_ns, item.content_hash, item.width, item.height, item.format, vector.tobytes(),
        )
        for item, vector in zip(items, vectors, strict=True)
    }  # fmt: skip


def built_at_once(folders: list[Path], encoder: Encoder, place: Path) -> dict[str, tuple[object, ...]]:
    """Return the contents of a new gallery of the same folders that nothing happened to."""
    shutil.rmtree(place, ignore_errors=True)
    with Gallery(place, encoder=encoder) as gallery:
        gallery.sync(folders)
        return contents(gallery)


def megabytes(kilobytes: int) -> str:
    """Return peak memory as the kernel tells it, for people."""
    return f"{kilobytes / 1024:,.0f} MB"


# -- the parts


def kills(work: Path, rng: random.Random, scale: float) -> str:
    """Kill -9 at random moments of index, sync, remove and index rebuild."""
    encoder = make_encoder(work / "encoder")
    pictures, folder = work / "pictures", work / "gallery"
    for number in range(120):
        write_picture(pictures / f"{number % 4}" / f"{number:05}.png", number)
    wanted, killed, finished, tried = max(3, round(200 * scale)), Counter[str](), 0, 0
    longest = {"index": 0.5, "sync": 0.5, "remove": 0.05, "rebuild": 0.05}
    next_seed = 1000
    while sum(killed.values()) < wanted:
        tried += 1
        action = rng.choice(list(longest)) if folder.exists() else "index"
        if action == "index":
            shutil.rmtree(folder, ignore_errors=True)
        elif action == "sync":
            next_seed = change_some(pictures, rng, next_seed)
        elif action == "rebuild":
            (folder / "index.faiss").unlink(missing_ok=True)
        reader, writer = os.pipe()
        child = fork.Process(target=act, args=(action, pictures, folder, work / "encoder", writer, rng.random()))
        begin = time.monotonic()
        child.start()
        os.close(writer)
        child.join(rng.uniform(0, longest[action]))
        if child.is_alive():
            os.kill(child.pid or 0, signal.SIGKILL)
            killed[action] += 1
        else:
            finished += 1
        child.join()
        longest[action] = 0.8 * longest[action] + 0.2 * 1.2 * max(time.monotonic() - begin, 0.01)
        with os.fdopen(reader, "rb") as told:
            steps = told.read()
        check(child.exitcode in {0, -signal.SIGKILL}, f"{action} ended with {child.exitcode}")
        if not (folder / "gallery.db").exists():
            check(not steps, "a gallery that had pictures is gone")
            continue
        with Gallery(folder, encoder=encoder) as gallery:
            report = gallery.verify()
            check(not report.problems, f"after a kill during {action}: {report.problems}")
            if action == "index":
                committed = (len(steps) - 1) // SMALL_BATCH * SMALL_BATCH
                check(len(gallery) >= committed, f"{committed} pictures were committed, {len(gallery)} are there")
            contents(gallery)
    with Gallery(folder, encoder=encoder) as gallery:
        gallery.sync([pictures])
        check(gallery.verify(files=True).files == (), "files differ from the catalogue")
        same = contents(gallery) == built_at_once([pictures], encoder, work / "fresh")
    check(same, "the gallery differs from one built at once")
    return (
        f"{sum(killed.values())} kills ({', '.join(f'{count} during {name}' for name, count in killed.items())}; "
        f"{finished} runs ended before their kill): verify clean after each, no finished batch lost, and the final "
        "gallery is bit-equal to one built at once"
    )


def act(action: str, pictures: Path, folder: Path, encoder: Path, told: int, chance: float) -> None:
    """Do something to a gallery in a process that will be killed; tells each picture embedded."""
    sync_module.BATCH = SMALL_BATCH
    with Gallery(folder, encoder=load_encoder(encoder)) as gallery:
        if action in {"index", "sync"}:
            gallery.sync([pictures], progress=lambda _done, _total: os.write(told, b"."))
        elif action == "remove":
            items = gallery.items()
            some = items[int(chance * len(items)) :][:20]
            if some:
                gallery.remove([item.path for item in some])
        else:
            gallery.info()


def change_some(pictures: Path, rng: random.Random, seed: int) -> int:
    """Add, change, move and delete some pictures; return the next unused seed."""
    there = sorted(pictures.rglob("*.png"))
    for path in rng.sample(there, min(len(there), 12)):
        what = rng.choice(["change", "move", "delete", "touch"])
        if what == "change":
            write_picture(path, seed)
        elif what == "move":
            path.rename(path.with_name(f"moved {seed}.png"))
        elif what == "delete" and len(there) > 80:
            path.unlink()
        else:
            os.utime(path, (1_600_000_000 + seed, 1_600_000_000.25 + seed))
        seed += 1
    for _ in range(rng.randrange(20)):
        write_picture(pictures / f"{seed % 4}" / f"{seed:05}.png", seed)
        seed += 1
    return seed


def disk(work: Path, rng: random.Random, scale: float) -> str:  # noqa: ARG001  nothing is left to chance
    """Let the disk become full at every four kilobytes that a small index run writes."""
    encoder = make_encoder(work / "encoder")
    pictures = work / "pictures"
    for number in range(40):
        write_picture(pictures / f"{number:05}.png", number)
    expected = built_at_once([pictures], encoder, work / "fresh")
    sync_module.BATCH = SMALL_BATCH
    full, fitted = 0, 0
    small = work / "small"
    small.mkdir()
    mounted = mount(small, 1 << 20)
    try:
        for size in range(4, 4 + round(100 * scale) * 4, 4):
            if mounted:
                mount(small, size << 10, again=True)
            folder = small / "gallery"
            with file_limit(None if mounted else size << 10), Gallery(folder, encoder=encoder) as gallery:
                try:
                    gallery.sync([pictures])
                    fitted += 1
                except SimsearchError as error:
                    check("\n" not in str(error), f"not one line: {error}")
                    full += 1
            if mounted:
                mount(small, 4 << 20, again=True)
            with Gallery(folder, encoder=encoder) as gallery:
                if (folder / "gallery.db").exists():
                    check(not gallery.verify().problems, f"damaged after {size} KB")
                gallery.sync([pictures])
                check(contents(gallery) == expected, f"after {size} KB the gallery is another one")
            shutil.rmtree(folder)
    finally:
        if mounted:
            subprocess.run(["umount", str(small)], check=False)
    how = "on a file system of that size" if mounted else "with files limited to that size (no right to mount)"
    check(full and fitted, f"no limit was ever met or kept: {full} full, {fitted} fitted")
    return (
        f"{full + fitted} index runs {how}, 4 KB apart: {full} ended in one line, {fitted} had room enough; each "
        "gallery was sound, and with room again became that of an undisturbed run"
    )


def mount(folder: Path, size: int, *, again: bool = False) -> bool:
    """Give a folder a file system of `size` bytes; tell whether that is permitted."""
    options = f"{'remount,' if again else ''}size={size}"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return (
        shutil.which("mount") is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


@contextmanager
def file_limit(size: int | None) -> Iterator[None]:
    """Let no file grow beyond `size` bytes while inside."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def flips(work: Path, rng: random.Random, scale: float) -> str:
    """Flip a bit in, or cut off, gallery.db and index.faiss, of either kind, at random places."""
    encoder = make_encoder(work / "encoder")
    pictures, folder = work / "pictures", work / "gallery"
    for number in range(150):
        write_picture(pictures / f"{number:05}.png", number)
    (pictures / "bad.png").write_bytes(b"no picture")
    with Gallery(folder, encoder=encoder) as gallery:
        gallery.sync([pictures])
        ids = [item.id for item in gallery.items()]
        gallery.answers.set(ids[0], ids[1], "different")
    large = shutil.copytree(folder, work / "large")
    answers(large, encoder, FEW)  # makes its cells
    kinds = [(kept, few, answers(kept, encoder, few)[0]) for kept, few in ((folder, EXACT_UP_TO), (large, FEW))]
    seen: Counter[str] = Counter()
    for number in range(max(4, round(500 * scale))):
        scratch = work / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        kept, few, expected = kinds[number // 2 % 2]
        shutil.copytree(kept, scratch)
        target = scratch / ("gallery.db" if number % 2 else "index.faiss")
        data = bytearray(target.read_bytes())
        place = rng.randrange(len(data))
        cut = number % 10 < 2
        if cut:
            target.write_bytes(data[:place])
        else:
            data[place] ^= 1 << rng.randrange(8)
            target.write_bytes(data)
        outcome = apart(judge, scratch, encoder, few, expected)
        check(
            outcome in {"told", "mended", "harmless"},
            f"{target.name} {'cut' if cut else 'flipped'} at {place}: {outcome}",
        )
        seen[f"{target.name}{' of cells' * (target.suffix == '.faiss' and few == FEW)} {outcome}"] += 1
    return "; ".join(f"{name}: {count}" for name, count in sorted(seen.items())) + "; no wrong answer, no crash"


def answers(folder: Path, encoder: Encoder, exact_up_to: int = EXACT_UP_TO) -> tuple[object, list[str]]:
    """Return all that a gallery answers, and what it said on the way."""
    said: list[str] = []
    with Gallery(LocalStore(folder, notice=said.append, exact_up_to=exact_up_to), encoder=encoder) as gallery:
        items = gallery.items()
        vectors = gallery.vectors_of([item.id for item in items])
        hits = gallery.search_vectors(vectors, k=5)
        found = (contents(gallery), hits, gallery.threshold, gallery.skipped, gallery.answers.all(), gallery.roots)
    return found, said


def judge(folder: Path, encoder: Encoder, exact_up_to: int, expected: object) -> str:
    """Say how a damaged gallery behaves."""
    try:
        found, said = answers(folder, encoder, exact_up_to)
    except GalleryError:
        return "told"
    if found != expected:
        return "a wrong answer without a word"
    return "mended" if said else "harmless"


def apart(function: Callable[..., str], *arguments: object) -> str:
    """Return what a function says in a process of its own, or what that died of."""
    ours, its = fork.Pipe(duplex=False)

    def run() -> None:
        try:
            its.send_bytes(function(*arguments).encode())
        except Exception as error:  # noqa: BLE001  whatever it is, it is reported
            its.send_bytes(f"{type(error).__name__}: {error}".encode())

    child = fork.Process(target=run)
    child.start()
    its.close()
    try:
        said = ours.recv_bytes().decode() if ours.poll(60) else "hangs"
    except EOFError:
        said = "crashed"
    child.kill()
    child.join()
    return said


def traffic(work: Path, rng: random.Random, scale: float) -> str:
    """Two writers and four readers at once."""
    encoder = make_encoder(work / "encoder")
    pictures, folder = work / "pictures", work / "gallery"
    for number in range(200):
        write_picture(pictures / "still" / f"{number:05}.png", number)
    for name in ("left", "right"):
        write_picture(pictures / name / "first.png", len(name))
    with Gallery(folder, encoder=encoder) as gallery:
        gallery.sync([pictures])
    until = time.time() + 60 * scale
    queue = fork.SimpleQueue()
    jobs = [(write_on, (pictures / name, rng.randrange(1 << 30))) for name in ("left", "right")]
    jobs += [(read_on, ()) for _ in range(4)]
    processes = [fork.Process(target=job, args=(folder, work / "encoder", until, queue, *more)) for job, more in jobs]
    for process in processes:
        process.start()
    told = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    wrong = [words for words, _, _ in told if words]
    check(not wrong, "; ".join(wrong))
    syncs = sum(count for _, kind, count in told if kind == "sync")
    reads = sum(count for _, kind, count in told if kind == "read")
    with Gallery(folder, encoder=encoder) as gallery:
        check(not gallery.verify(files=True).problems, "damaged")
        check(gallery.sync([pictures]).unchanged == len(gallery), "not in step at the end")
        check(contents(gallery) == built_at_once([pictures], encoder, work / "fresh"), "the final state is wrong")
    return (
        f"{60 * scale:.0f} s: {syncs} syncs by two writers, {reads} rounds of reading by four readers; no reader met "
        "an error or half a batch, and the final gallery is bit-equal to one built at once"
    )


def write_on(folder: Path, encoder: Path, until: float, queue: object, pictures: Path, seed: int) -> None:
    """Add and delete groups of five pictures, and sync after each change, until time is up."""
    rng, count, words = random.Random(seed), 0, ""
    groups: list[int] = []
    try:
        with Gallery(folder, encoder=load_encoder(encoder)) as gallery:
            while time.time() < until:
                if len(groups) > 4:
                    gone = groups.pop(rng.randrange(len(groups)))
                    for path in pictures.glob(f"{gone}_*.png"):
                        path.unlink()
                else:
                    seed += 10
                    groups.append(seed)
                    for number in range(5):
                        write_picture(pictures / f"{seed}_{number}.png", seed % 1_000_000 + number)
                gallery.sync([pictures])
                count += 1
    except Exception as error:  # noqa: BLE001
        words = f"writer: {type(error).__name__}: {error}"
    queue.put((words, "sync", count))  # type: ignore[attr-defined]


def read_on(folder: Path, encoder: Path, until: float, queue: object) -> None:
    """Search and list until time is up; every group of five must be there as a whole or not at all."""
    count, words = 0, ""
    try:
        with Gallery(folder, encoder=load_encoder(encoder)) as gallery:
            while time.time() < until and not words:
                with gallery.snapshot():
                    items = gallery.items()
                    vectors = gallery.vectors_of([item.id for item in items[-3:]])
                    hits = gallery.search_vectors(vectors, k=3)
                groups = Counter(item.path.name.split("_")[0] for item in items if "_" in item.path.name)
                if set(groups.values()) - {5}:
                    words = f"half a batch: {groups}"
                if any(not row or row[0].distance > 1e-6 for row in hits):
                    words = "a picture that is there did not find itself"
                count += 1
    except Exception as error:  # noqa: BLE001
        words = f"reader: {type(error).__name__}: {error}"
    queue.put((words, "read", count))  # type: ignore[attr-defined]


def pictures(work: Path, rng: random.Random, scale: float) -> str:
    """Decode mutated pictures of six formats."""
    seeds = {}
    for name, options in {
        "JPEG": {"quality": 85, "exif": exif()}, "PNG": {}, "WEBP": {"quality": 80}, "GIF": {},
        "TIFF": {"compression": "tiff_lzw"}, "BMP": {},
    }.items():  # fmt: skip
        for number in range(4):
            out = BytesIO()
            more = {"progressive": True} if name == "JPEG" and number % 2 else {}
            picture(number, side=(40, 96, 160, 220)[number]).save(out, name, **options, **more)
            seeds[name, number] = out.getvalue()
    names, total = list(seeds), max(12, round(20_000 * scale))
    seen: Counter[str] = Counter()
    slowest = 0.0
    warnings.simplefilter("ignore")  # what Pillow remarks on damaged files
    with Decoder(seconds=5) as decoder:
        for number in range(total):
            name = names[number % len(names)]
            data = mutated(seeds[name], seeds[rng.choice(names)], rng)
            begin = time.thread_time()
            try:
                decoder.square(BytesIO(data), size=SIZE)
                seen["decoded"] += 1
            except ImageError as error:
                kind = (
                    "crashed or too slow, apart"
                    if "crash" in error.reason or "takes more" in error.reason
                    else "refused"
                )
                seen[kind] += 1
            slowest = max(slowest, time.thread_time() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    apart_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    check(slowest < 10, f"one took {slowest:.1f} s")
    check(peak < 2 << 20, f"memory rose to {megabytes(peak)}")
    (work / "done").touch()
    return (
        f"{total:,} mutated files: {', '.join(f'{count:,} {kind}' for kind, count in seen.items())}; slowest "
        f"{slowest:.2f} s here, memory at most {megabytes(peak)} here and {megabytes(apart_peak)} apart; no crash"
    )


def exif() -> Image.Exif:
    """Return EXIF data with some entries."""
    data = Image.Exif()
    data[0x0112], data[0x010F], data[0x0132] = 6, "camera", "2020:01:01 00:00:00"
    return data


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:  # noqa: C901  a table of damages
    """Return a file changed in one to four ways, as damage, as a fuzzer, or as a forger would."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not out:
            break
        place = rng.randrange(len(out))
        early = rng.randrange(min(len(out), 200))
        match rng.randrange(9):
            case 0:
                out[place] ^= 1 << rng.randrange(8)
            case 1:
                out[early] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                out = out[:place]
            case 3:
                out[place:place] = rng.randbytes(rng.randint(1, 30))
            case 4:
                del out[place : place + rng.randint(1, 30)]
            case 5:  # a length or a dimension
                out[early : early + 4] = rng.choice(
                    (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff")
                )
            case 6:  # two files in one
                out[place:] = other[rng.randrange(len(other)) :]
            case 7:
                out[place:place] = out[early : early + rng.randint(1, 400)]
            case _:
                out += other
    return bytes(out)


def strangers(work: Path, rng: random.Random, scale: float) -> str:
    """Open mutated encoder descriptions, graphs and catalogues."""
    own = work / "encoder"
    encoder = make_encoder(own)
    source, folder = work / "pictures", work / "gallery"
    for number in range(60):
        write_picture(source / f"{number:05}.png", number)
    with Gallery(folder, encoder=encoder) as gallery:
        gallery.sync([source])
    spec, graph, catalogue = (
        (own / SPEC).read_bytes(),
        (own / GRAPH).read_bytes(),
        (folder / "gallery.db").read_bytes(),
    )
    total = max(10, round(5000 * scale))
    seen: Counter[str] = Counter()
    batch = 50
    for start in range(0, total, batch):
        kinds = [
            ("description", "graph", "catalogue", "catalogue", "description")[n % 5]
            for n in range(start, start + batch)
        ]
        jobs = []
        for kind in kinds:
            if kind == "description":
                jobs.append((kind, mutated(spec, spec, rng)))
            elif kind == "graph":
                jobs.append((kind, mutated(graph, graph, rng)))
            else:
                jobs.append((kind, mutated_pages(catalogue, rng)))
        said = apart(open_all, jobs, work, own)
        check(said.startswith("{"), f"between {start} and {start + batch} (seeded): {said}")
        seen.update(json.loads(said))
    return (
        f"{sum(seen.values()):,} mutated files: "
        + ", ".join(f"{n:,} {kind}" for kind, n in sorted(seen.items()))
        + "; no crash"
    )


def open_all(jobs: list[tuple[str, bytes]], work: Path, own: Path) -> str:
    """Open each file as a user would; anything but our own errors is a failure. Return the counts as JSON."""
    seen: Counter[str] = Counter()
    pixels = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    limit = 4 << 30
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    for kind, data in jobs:
        scratch = work / f"scratch {os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            if kind == "catalogue":
                scratch.mkdir()
                (scratch / "gallery.db").write_bytes(data)
                answers(scratch, load_encoder(own))
            else:
                shutil.copytree(own, scratch)
                (scratch / (SPEC if kind == "description" else GRAPH)).write_bytes(data)
                if kind == "graph":  # a forger would make the fingerprint fit
                    about = json.loads((scratch / SPEC).read_text())
                    about["fingerprint"] = encoder_fingerprint(scratch)
                    (scratch / SPEC).write_text(json.dumps(about))
                load_encoder(scratch).embed_pixels(pixels)
            seen[f"{kind}s opened"] += 1
        except (EncoderError, GalleryError):
            seen[f"{kind}s refused"] += 1
        shutil.rmtree(scratch, ignore_errors=True)
    return json.dumps(seen)


def mutated_pages(data: bytes, rng: random.Random) -> bytes:
    """Return a database changed as `mutated` does, and as only pages can be: swapped, repeated, blanked."""
    page = 4096
    if rng.random() < 0.5:
        return mutated(data, data, rng)
    pages = [data[start : start + page] for start in range(0, len(data), page)]
    one, other = rng.randrange(len(pages)), rng.randrange(len(pages))
    match rng.randrange(4):
        case 0:
            pages[one], pages[other] = pages[other], pages[one]
        case 1:
            pages[one] = pages[other]
        case 2:
            pages[one] = bytes(page)
        case _:  # the header of a page: its kind, its cells, its pointers
            head = bytearray(pages[one])
            head[rng.randrange(40)] = rng.randrange(256)
            pages[one] = bytes(head)
    return b"".join(pages)


def many(work: Path, rng: random.Random, scale: float) -> str:
    """Index very many tiny pictures, again without a change, and with one in a hundred changed."""
    make_encoder(work / "encoder")
    source, total = work / "pictures", max(200, round(100_000 * scale))
    for number in range(total):
        folder = source / f"{number // 500:04}"
        if number % 500 == 0:
            folder.mkdir(parents=True)
        path = folder / f"{number:06}.png"
        Image.frombytes("RGB", (4, 4), rng.randbytes(48)).save(path, compress_level=0)
        os.utime(path, (1_600_000_000, 1_600_000_000.5))
    said = [f"{total:,} pictures"]
    said.append(f"first index {measured(work, added=total)}")
    said.append(f"without a change {measured(work, unchanged=total)}")
    changed = rng.sample(range(total), total // 100)
    for number in changed:
        path = source / f"{number // 500:04}" / f"{number:06}.png"
        Image.frombytes("RGB", (4, 4), rng.randbytes(48)).save(path, compress_level=0)
    said.append(f"with one in a hundred changed {measured(work, changed=len(changed))}")
    size = sum(path.stat().st_size for path in (work / "gallery").iterdir())
    return f"{', '.join(said)}; {size / total:,.0f} bytes on disk a picture"


def measured(work: Path, **expected: int) -> str:
    """Sync in a process of its own and return its time and peak memory in words."""
    code = (
        "import json, resource, sys, time\nfrom siamese_search.encoder import load_encoder\n"
        "from siamese_search.gallery import Gallery\n"
        f"gallery = Gallery({str(work / 'gallery')!r}, encoder=load_encoder({str(work / 'encoder')!r}))\n"
        f"report = gallery.sync([{str(work / 'pictures')!r}])\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(json.dumps([report.added, report.changed, report.unchanged, report.seconds, peak.ru_maxrss, "
        "peak.ru_utime + peak.ru_stime]))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    added, changed, unchanged, seconds, peak, cpu = json.loads(out)
    found = {"added": added, "changed": changed, "unchanged": unchanged}
    check(expected.items() <= found.items(), f"expected {expected}, found {found}")
    return f"{seconds:.1f} s ({cpu:.1f} s of CPU), {megabytes(peak)}"


PARTS: dict[str, Callable[[Path, random.Random, float], str]] = {
    part.__name__: part for part in (kills, disk, flips, traffic, pictures, strangers, many)
}


def main() -> int:
    """Run the parts that were asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of: {', '.join(PARTS)}; default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full work  [default: 1]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = 0
    for name in options.parts or PARTS:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            try:
                words = PARTS[name](Path(folder).resolve(), random.Random(f"{name} {options.seed}"), options.scale)
                state = "held"
            except Failure as failure:
                words, state, failed = str(failure), "FAILED", 1
        print(f"{name}: {state} in {time.monotonic() - begin:.0f} s. {words}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
