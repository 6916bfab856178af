"""Pictures that would stop or kill the program, and ordinary ones that must not notice."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_search.encoder import Encoder
from siamese_search.encoder.embed import embed_files
from siamese_search.errors import ImageError
from siamese_search.images.decode import CHANGED, load_picture
from siamese_search.images.sandbox import CRASHES, Decoder
from siamese_search.results import Skipped

Sample = Callable[[str], Image.Image]


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    """Give a decoder with a time limit of one second."""
    with Decoder(size=64, seconds=1) as decoder:
        yield decoder


def helpers(decoder: Decoder) -> int:
    """Return how many processes wait for work."""
    return decoder._idle.qsize()  # noqa: SLF001


def slow_jpeg(side: int, scans: int) -> bytes:
    """Return a progressive JPEG that repeats a scan many times: small, and whole minutes of work."""
    out = BytesIO()
    Image.new("L", (side, side), 90).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * scans + data[-2:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF", "PPM"])
def test_every_format_decodes_the_same_here_and_apart(
    sample: Sample, tmp_path: Path, decoder: Decoder, kind: str
) -> None:
    """The pixels are those of `load_picture`; only rarer formats start a process, by path and from a stream."""
    path = tmp_path / f"picture.{kind.lower()}"
    sample("coffee.png").save(path, kind)
    expected = load_picture(path, size=64)
    for picture in (decoder.load(path), decoder.load(BytesIO(path.read_bytes()))):
        assert np.array_equal(picture.pixels, expected.pixels)
        assert (picture.width, picture.height, picture.format) == (256, 171, expected.format)
    assert helpers(decoder) == (0 if kind in {"JPEG", "PNG", "GIF", "WEBP"} else 1)


def test_a_decoder_that_hangs_is_killed(tmp_path: Path, decoder: Decoder) -> None:
    """A JPEG with thousands of scans is given up after the limit, and the next picture is decoded as ever."""
    bad, good = tmp_path / "slow.jpg", tmp_path / "good.tiff"
    bad.write_bytes(slow_jpeg(4096, 4000))
    Image.new("RGB", (50, 40), "red").save(good)
    begin = time.monotonic()
    with pytest.raises(ImageError, match="takes more than 1 s to decode"):
        decoder.load(bad)
    assert time.monotonic() - begin < 30
    assert decoder.load(good).width == 50


def test_a_slow_ordinary_picture_goes_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: Decoder) -> None:
    """What turns out to take long is stopped here, after a while, and tried where it can be killed."""
    monkeypatch.setattr("siamese_search.images._ORDINARY_SECONDS", 0.02)
    path = tmp_path / "slow.jpg"
    path.write_bytes(slow_jpeg(1900, 8000))
    with pytest.raises(ImageError, match="takes more than 1 s"):
        decoder.load(path)


def test_memory_is_limited(tmp_path: Path) -> None:
    """A picture that needs more than the limit is refused with the limit, not with the machine's last byte."""
    Image.new("RGB", (9000, 9000)).save(tmp_path / "large.tiff", compression="tiff_lzw")
    with Decoder(size=64, memory=200 << 20) as decoder, pytest.raises(ImageError, match=r"needs more than 0\.2 GB"):
        decoder.load(tmp_path / "large.tiff")


def test_a_crash_takes_nothing_with_it(tmp_path: Path, decoder: Decoder) -> None:
    """When the process dies the picture is named as the cause, and a new process decodes the next one."""
    Image.new("RGB", (50, 40), "red").save(tmp_path / "good.tiff")
    decoder.load(tmp_path / "good.tiff")
    helper = decoder._idle.get()  # noqa: SLF001
    helper._process.kill()  # noqa: SLF001
    helper._process.wait()  # noqa: SLF001
    decoder._idle.put(helper)  # noqa: SLF001
    with pytest.raises(ImageError, match=CRASHES):
        decoder.load(tmp_path / "good.tiff")
    assert decoder.load(tmp_path / "good.tiff").width == 50


def test_processes_end_with_the_program(tmp_path: Path) -> None:
    """Even after kill -9 no process of ours is left."""
    Image.new("RGB", (50, 40), "red").save(tmp_path / "good.tiff")
    code = (
        "import os, signal, pathlib\nfrom siamese_search.images.sandbox import Decoder\n"
        f"decoder = Decoder(size=64)\ndecoder.load(pathlib.Path({str(tmp_path / 'good.tiff')!r}))\n"
        "print(decoder._idle.get()._process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    pid = int(finished.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.05)


def test_reasons_are_the_same_apart(tmp_path: Path, decoder: Decoder) -> None:
    """Whatever is wrong with a file is told as it would be without a second process."""
    path = tmp_path / "bad.jpg"
    for data in (b"", b"no picture", b"II*\0" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(ImageError) as apart:
            decoder.load(path)
        with pytest.raises(ImageError) as here:
            load_picture(path, size=64)
        assert apart.value.reason == here.value.reason
    with pytest.raises(ImageError, match="no such file"):
        decoder.load(tmp_path / "none.jpg")


def test_a_file_that_changes_while_it_is_read_is_not_taken(
    photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash of one content and pixels of another never meet: such a file waits for the next sync."""
    path = photos / "coffee.png"
    load = Decoder.load

    def load_while_written(self: Decoder, source: Path) -> object:
        with path.open("ab") as file:
            file.write(b"more")
        return load(self, source)

    monkeypatch.setattr(Decoder, "load", load_while_written)
    assert list(embed_files([path], encoder)) == [Skipped(path=path, reason=CHANGED)]
