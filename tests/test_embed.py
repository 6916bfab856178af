"""Embedding many files: order, failures, memory, threads."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_search.cores import cpu_quotas, usable_cores
from siamese_search.encoder import Encoder
from siamese_search.encoder.embed import Embedded, embed_files, embed_pictures
from siamese_search.errors import ImageError, OptionError
from siamese_search.images.decode import Square, load_picture
from siamese_search.images.files import hash_file
from siamese_search.results import Skipped


def alone(path: Path, encoder: Encoder) -> np.ndarray:
    """Embed one picture the plain way."""
    pixels = load_picture(path, Square(encoder.input_size, encoder.channels)).pixels
    return encoder.embed_pixels(pixels[None])[0]


def test_results_come_in_order_and_are_those_of_each_alone(photos: Path, encoder: Encoder) -> None:
    """Whatever thread and batch a picture falls into, its embedding and facts are its own."""
    paths = sorted(photos.rglob("*.*"))
    for workers, batch in ((1, 1), (2, 4), (5, 2)):
        results = list(embed_files(paths, encoder, workers=workers, batch=batch))
        for path, result in zip(paths, results, strict=True):
            assert isinstance(result, Embedded)
            assert result.path == path
            assert result.content_hash == hash_file(path)
            picture = load_picture(path)
            assert (result.width, result.height, result.format) == (picture.width, picture.height, picture.format)
            np.testing.assert_allclose(result.vector, alone(path, encoder), atol=1e-5)
            assert np.linalg.norm(result.vector) == pytest.approx(1, abs=1e-5)


def test_bad_pictures_do_not_stop_the_others(photos: Path, encoder: Encoder) -> None:
    """Unreadable, missing and broken files give a reason in their place."""
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    good = photos / "coffee.png"
    paths = [photos / "broken.jpg", photos / "missing.jpg", photos / "copies", good]
    results = list(embed_files(paths, encoder))
    assert results[:3] == [
        Skipped(path=paths[0], reason="not an image that can be read"),
        Skipped(path=paths[1], reason="no such file"),
        Skipped(path=paths[2], reason="is a folder, not an image file"),
    ]
    assert isinstance(results[3], Embedded)
    assert list(embed_files(paths[:3], encoder, batch=2)) == results[:3]


def test_no_files_no_results(encoder: Encoder) -> None:
    """Nothing in, nothing out."""
    assert list(embed_files([], encoder)) == []


def test_it_looks_only_a_little_ahead(photos: Path, encoder: Encoder) -> None:
    """However many files there are, few are taken before their results are wanted, and leaving early ends the work."""
    taken = []

    def endless() -> Iterator[Path]:
        while True:
            taken.append(1)
            yield photos / "coffee.png"

    results = embed_files(endless(), encoder, workers=2, batch=4)
    for _ in range(10):
        next(results)
    assert len(taken) <= 10 + (2 * 2 + 1) * 4 + 4
    results.close()  # type: ignore[attr-defined]  a generator
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("embed")]


def test_a_picture_is_embedded_however_it_comes(photos: Path, encoder: Encoder) -> None:
    """Path, bytes, open file, Pillow image and array give the embedding of the file; one alone gives one row."""
    path = photos / "coffee.png"
    (of_file,) = embed_files([path], encoder)
    assert isinstance(of_file, Embedded)
    with path.open("rb") as file, Image.open(path) as image:
        sources = [path, str(path), path.read_bytes(), file, image, np.asarray(image)]
        together = encoder.embed(sources)
        for source, row in zip(sources, together, strict=True):
            np.testing.assert_allclose(row, of_file.vector, atol=1e-5)
            np.testing.assert_allclose(encoder.embed(source), row, atol=1e-5)
        several = np.stack([np.asarray(image)] * 2)
    assert encoder.embed(several).shape == (2, encoder.dim)
    assert encoder.embed([]).shape == (0, encoder.dim)


def test_what_cannot_be_embedded_is_named(photos: Path, encoder: Encoder) -> None:
    """One reason in its place where several are embedded one by one; `embed` gives all or raises."""
    results = list(embed_pictures([b"no picture", photos / "coffee.png", photos / "none.png"], encoder))
    assert results[0] == Skipped(path=Path("-"), reason="not an image that can be read")
    assert isinstance(results[1], np.ndarray)
    assert results[2] == Skipped(path=photos / "none.png", reason="no such file")
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        encoder.embed([photos / "coffee.png", photos / "none.png"])
    with pytest.raises(OptionError, match="int: no picture"):
        encoder.embed([5])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("own", "limits", "quotas"),
    [
        ("0::/jobs/one", {"jobs/cpu.max": "150000 100000", "jobs/one/cpu.max": "max 100000"}, [1.5]),
        ("0::/elsewhere", {"cpu.max": "200000 100000"}, [2.0]),  # in a container, which sees only its own group
        ("0::/", {}, []),
        (
            "4:memory:/box\n3:cpu,cpuacct:/box",
            {
                "cpu/box/cpu.cfs_quota_us": "50000",
                "cpu/box/cpu.cfs_period_us": "100000",
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
            },
            [0.5],
        ),
        ("0::/", {"cpu.max": "damaged"}, []),
    ],
)
def test_limits_of_control_groups_are_read(
    tmp_path: Path, own: str, limits: dict[str, str], quotas: list[float]
) -> None:
    """Both versions, the group's own limit and those above it; what is not there, or says nothing, limits nothing."""
    for name, text in {"proc/self/cgroup": own, **{f"sys/fs/cgroup/{name}": limits[name] for name in limits}}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert list(cpu_quotas(tmp_path)) == quotas


def test_without_control_groups_nothing_is_limited(tmp_path: Path) -> None:
    """As on other systems than Linux."""
    assert list(cpu_quotas(tmp_path)) == []


def test_at_least_one_core_is_usable() -> None:
    """There is always a core to work on."""
    assert usable_cores() >= 1
