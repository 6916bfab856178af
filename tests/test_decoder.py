"""Pictures that would stop or kill the program, and ordinary ones that must not notice."""

import gzip
import os
import pickle
import resource
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_search.encoder import Encoder
from siamese_search.encoder.embed import embed_files
from siamese_search.errors import ImageError, OptionError
from siamese_search.images.decode import MAX_PIXELS, Square, Thumbnail, load_picture
from siamese_search.images.jpeg import exif_weight, read_header
from siamese_search.images.ordinary import decode_here
from siamese_search.images.reasons import CHANGED, RiskyPictureError
from siamese_search.images.room import Room
from siamese_search.images.sandbox import CRASHES, Decoder
from siamese_search.results import Skipped

Sample = Callable[[str], Image.Image]
HERE = ("JPEG", "PNG", "WEBP")  # what is decoded in this process


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    """Give a decoder with a short time limit."""
    with Decoder(seconds=0.5) as decoder:
        yield decoder


def helpers(decoder: Decoder) -> int:
    """Return how many processes wait for work."""
    return decoder._idle.qsize()  # noqa: SLF001


def segment(marker: int, payload: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def many_scans(side: int, scans: int, *, progressive: bool = False) -> bytes:
    """Return a JPEG whose scans, a dozen bytes each, hold nothing: small, and whole minutes of work."""
    frame = struct.pack(">BHHB", 8, side, side, 3) + b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    codes = bytes([1, *[0] * 15, 0])
    head = segment(0xDB, b"\0" + b"\x10" * 64) + segment(0xC2 if progressive else 0xC0, frame)
    head += segment(0xC4, b"\0" + codes) + segment(0xC4, b"\x10" + codes)
    last = 0 if progressive else 63
    body = b"".join(segment(0xDA, bytes([1, 1 + number % 3, 0, 0, last, 0])) for number in range(scans))
    return b"\xff\xd8" + head + body + b"\xff\xd9"


def exif_bomb() -> bytes:
    """Return a small JPEG with EXIF of many values that are all the same bytes."""
    out = BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG")
    count = 5000
    entries = b"".join(struct.pack("<HHII", number, 7, 50_000, 8) for number in range(count))
    tiff = b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4)
    return out.getvalue()[:2] + segment(0xE1, b"Exif\0\0" + tiff) + out.getvalue()[2:]


def flat_png(side: int) -> bytes:
    """Return a few hundred bytes that claim a picture of `side` squared pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 3, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"PLTE", bytes(3)) + chunk(b"tRNS", b"\0")
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF", "PPM"])
def test_every_format_decodes_the_same_here_and_apart(
    sample: Sample, tmp_path: Path, decoder: Decoder, kind: str
) -> None:
    """The pixels are those of `load_picture`; only rarer formats start a process, by path and from a stream."""
    path = tmp_path / f"picture.{kind.lower()}"
    sample("coffee.png").save(path, kind)
    squashed, small = load_picture(path, Square(64)), load_picture(path, Thumbnail(100))
    for source in (path, str(path), path.read_bytes(), BytesIO(path.read_bytes())):
        picture = decoder.square(source, size=64)
        assert np.array_equal(picture.pixels, squashed.pixels)
        assert (picture.width, picture.height, picture.format) == (256, 171, squashed.format)
        assert np.array_equal(decoder.thumbnail(source, longest=100).pixels, small.pixels)
    with path.open("rb") as file:
        assert np.array_equal(
            decoder.square(file, size=64, channels=1).pixels, load_picture(path, Square(64, 1)).pixels
        )
    assert helpers(decoder) == (0 if kind in HERE else 1)


def test_pixels_in_memory_are_taken_as_they_are(sample: Sample, decoder: Decoder) -> None:
    """A Pillow image and an array give what their file gives, and stay as they were; other arrays are refused."""
    image = sample("coffee.png")
    out = BytesIO()
    image.save(out, "PNG")
    expected = decoder.square(out, size=64).pixels
    assert np.array_equal(decoder.square(image, size=64).pixels, expected)
    assert np.array_equal(decoder.square(np.asarray(image), size=64).pixels, expected)
    grey = np.asarray(image.convert("L"))
    assert np.array_equal(decoder.square(grey, size=64).pixels, decoder.square(grey[:, :, None], size=64).pixels)
    assert max(decoder.thumbnail(image, longest=50).image.size) == 50
    assert image.size == (256, 171)
    for array in (np.zeros((4, 4), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(OptionError, match="expected uint8"):
            decoder.square(array, size=8)
    with pytest.raises(OptionError, match="expected a path"):
        decoder.square(5, size=8)  # type: ignore[arg-type]


def test_streams_are_read_and_never_opened_again(sample: Sample, tmp_path: Path, decoder: Decoder) -> None:
    """What a stream gives counts, not the file that it is named after, nor the one that its descriptor leads to."""
    right, wrong = BytesIO(), tmp_path / "other.tif"
    sample("coffee.png").save(right, "TIFF")
    sample("rocket.jpg").resize((50, 50)).save(wrong)

    class Named(BytesIO):
        name = str(wrong)

    stream = Named(right.getvalue())
    assert decoder.square(stream, size=16).width == 256
    assert not stream.closed
    packed = tmp_path / "packed.tif.gz"
    packed.write_bytes(gzip.compress(right.getvalue()))
    with gzip.open(packed) as unpacked, wrong.open("rb") as plain:
        assert decoder.square(unpacked, size=16).width == 256
        assert plain.read(4) == wrong.read_bytes()[:4]
        assert decoder.square(plain, size=16).width == 50
        plain.seek(4)
        assert plain.read() == wrong.read_bytes()[4:]


def test_an_open_file_is_read_although_its_name_is_gone(sample: Sample, tmp_path: Path, decoder: Decoder) -> None:
    """The process is given the file itself: one that was replaced meanwhile cannot slip in."""
    path = tmp_path / "a.tif"
    sample("coffee.png").save(path)
    with path.open("rb") as file:
        path.unlink()
        Image.new("RGB", (9, 9)).save(path)
        assert decoder.square(file, size=16).width == 256


@pytest.mark.parametrize(("side", "progressive"), [(13_300, False), (3000, True)])
def test_a_jpeg_of_many_scans_is_killed(decoder: Decoder, side: int, progressive: bool) -> None:
    """Whatever it calls itself, it is given up after the limit, and the next picture is decoded as ever."""
    bad, good = many_scans(side, 5900 if side > 9999 else 60_000, progressive=progressive), BytesIO()
    Image.new("RGB", (50, 40), "red").save(good, "TIFF")
    for decode in (
        lambda: decoder.square(bad, size=64),
        lambda: decoder.thumbnail(bad, longest=64),
        lambda: decoder.same_picture(bad, bad),
    ):
        with pytest.raises(ImageError, match=r"takes more than 0\.5 s to decode"):
            decode()
    assert decoder.square(good, size=8).width == 50


def test_no_jpeg_of_many_scans_is_decoded_here() -> None:
    """Pixels times scans decide, so neither many small scans nor a few of a huge picture get through."""
    room = Room(1 << 30)
    assert decode_here(BytesIO(many_scans(64, 30)), Square(8), max_pixels=MAX_PIXELS, room=room).width == 64
    for side, scans in ((1000, 200), (13_300, 2)):
        with pytest.raises(RiskyPictureError):
            decode_here(BytesIO(many_scans(side, scans)), Square(8), max_pixels=MAX_PIXELS, room=room)


def test_exif_that_repeats_itself_is_read_apart(decoder: Decoder) -> None:
    """A few kilobytes of EXIF can ask for gigabytes of copies: ordinary ones stay here, these do not."""
    header = read_header(exif_bomb())
    assert header
    assert exif_weight(header.exif) > 200_000_000
    assert decoder.square(exif_bomb(), size=8).width == 8
    assert helpers(decoder) == 1


def test_a_slow_ordinary_picture_goes_apart(monkeypatch: pytest.MonkeyPatch, decoder: Decoder) -> None:
    """What turns out to take long is stopped here, after a while, and tried where it can be killed."""
    monkeypatch.setattr("siamese_search.images.ordinary._SECONDS", 0.0)
    out = BytesIO()
    Image.effect_noise((900, 900), 50).save(out, "PNG")
    assert decoder.square(out, size=8).width == 900
    assert helpers(decoder) == 1


def test_memory_is_limited(tmp_path: Path) -> None:
    """A picture that needs more than the limit is refused with the limit, not with the machine's last byte."""
    Image.new("RGB", (9000, 9000)).save(tmp_path / "large.tiff", compression="tiff_lzw")
    with Decoder(memory=200 << 20) as decoder:
        for decode in (
            lambda: decoder.square(tmp_path / "large.tiff", size=64),
            lambda: decoder.same_picture(tmp_path / "large.tiff", tmp_path / "large.tiff"),
        ):
            with pytest.raises(ImageError, match=r"needs more than 0\.2 GB"):
                decode()


def test_more_memory_is_granted_when_it_is_needed(tmp_path: Path) -> None:
    """A picture beyond the first grant is decoded all the same, and so are two compared."""
    path = tmp_path / "large.tiff"
    Image.new("RGB", (3200, 3200), "red").save(path)
    with Decoder() as decoder:
        assert decoder.square(path, size=8).pixels.tolist() == np.full((8, 8, 3), (255, 0, 0)).tolist()
        assert decoder.same_picture(path, path)


def test_tiny_files_that_claim_huge_pictures_take_turns() -> None:
    """Eight files of a few hundred bytes at once take no gigabytes in this process."""
    code = (
        "import sys\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "from siamese_search.images.sandbox import Decoder\n"
        "def decode(data):\n    try:\n        decoder.square(data, size=64)\n    except Exception:\n        pass\n"
        "data = sys.stdin.buffer.read()\n"
        "with Decoder() as decoder, ThreadPoolExecutor(8) as pool:\n    list(pool.map(decode, [data] * 8))\n"
        "status = open('/proc/self/status').read()\nprint(status.split('VmHWM:')[1].split()[0])\n"
    )
    data = flat_png(5600)
    assert len(data) < 300
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, input=data)
    assert int(run.stdout) < 300_000, "kilobytes"


def test_room_is_shared_and_one_that_wants_all_waits() -> None:
    """Never is more taken than there is, but by one alone."""
    room, taken, most = Room(10), [], []

    def work(amount: int) -> None:
        with room.taken(amount):
            taken.append(amount)
            most.append((sum(taken), len(taken)))
            time.sleep(0.001)
            taken.remove(amount)

    threads = [threading.Thread(target=work, args=(amount,)) for amount in (4, 4, 4, 25, 1, 10, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 8
    assert all(total <= 10 or count == 1 for total, count in most)


def test_a_crash_takes_nothing_with_it(tmp_path: Path, decoder: Decoder) -> None:
    """When the process dies another one tries with more memory; the next picture is decoded as ever."""
    Image.new("RGB", (50, 40), "red").save(tmp_path / "good.tiff")
    decoder.square(tmp_path / "good.tiff", size=8)
    helper = decoder._idle.get()  # noqa: SLF001
    helper._process.kill()  # noqa: SLF001
    helper._process.wait()  # noqa: SLF001
    decoder._idle.put(helper)  # noqa: SLF001
    assert decoder.square(tmp_path / "good.tiff", size=8).width == 50
    assert helpers(decoder) == 1


def test_a_crash_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture whose process dies each time is named as the cause."""
    Image.new("RGB", (50, 40), "red").save(tmp_path / "good.tiff")
    monkeypatch.setattr("siamese_search.images.sandbox.sys.executable", "/bin/false")
    with Decoder() as decoder, pytest.raises(ImageError, match=CRASHES):
        decoder.square(tmp_path / "good.tiff", size=8)


def test_processes_end_with_the_program(tmp_path: Path) -> None:
    """Even after kill -9 no process of ours is left."""
    Image.new("RGB", (50, 40), "red").save(tmp_path / "good.tiff")
    code = (
        "import os, signal\nfrom siamese_search.images.sandbox import Decoder\n"
        f"decoder = Decoder()\ndecoder.square({str(tmp_path / 'good.tiff')!r}, size=64)\n"
        "print(decoder._idle.get()._process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    pid = int(finished.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.05)


def test_a_copy_in_another_process_has_processes_of_its_own(tmp_path: Path, decoder: Decoder) -> None:
    """Training sends what reads pictures to workers: a pickled decoder keeps its limits, and nothing else."""
    path = tmp_path / "good.tiff"
    Image.new("RGB", (50, 40), "red").save(path)
    decoder.square(path, size=8)
    with pickle.loads(pickle.dumps(decoder)) as copy:  # noqa: S301  our own
        assert (copy.seconds, copy.memory, copy.max_pixels) == (decoder.seconds, decoder.memory, decoder.max_pixels)
        assert helpers(copy) == 0
        assert copy.square(path, size=8).width == 50


def test_reasons_are_the_same_apart(tmp_path: Path, decoder: Decoder) -> None:
    """Whatever is wrong with a file is told as it would be without a second process."""
    path = tmp_path / "bad.jpg"
    for data in (b"", b"no picture", b"II*\0" + bytes(100), b"\xff\xd8\xff\xe0"):
        path.write_bytes(data)
        with pytest.raises(ImageError) as apart:
            decoder.square(path, size=64)
        with pytest.raises(ImageError) as here:
            load_picture(path, Square(64))
        assert (apart.value.path, apart.value.reason) == (str(path), here.value.reason)
    with pytest.raises(ImageError, match="no such file"):
        decoder.square(tmp_path / "none.jpg", size=64)
    with pytest.raises(ImageError, match=r"none\.jpg: no such file"):
        decoder.same_picture(path, tmp_path / "none.jpg")
    Image.new("RGB", (5, 4)).save(tmp_path / "good.png")
    with pytest.raises(ImageError, match=r"bad\.jpg: not an image"):
        decoder.same_picture(tmp_path / "good.png", path)


def test_a_limit_of_pixels_can_be_raised_and_lowered(tmp_path: Path) -> None:
    """More pixels come with more time and memory; fewer are refused here and apart."""
    for kind in ("png", "tiff"):
        Image.new("L", (40, 30)).save(tmp_path / f"a.{kind}")
        with Decoder(max_pixels=1199) as decoder, pytest.raises(ImageError, match="40 x 30 pixels, the limit is 1,199"):
            decoder.square(tmp_path / f"a.{kind}", size=8)
    with Decoder() as usual, Decoder(max_pixels=2 * MAX_PIXELS) as larger:
        assert (larger.seconds, larger.memory) == (2 * usual.seconds, 2 * usual.memory)
        huge = flat_png(14_000)
        with pytest.raises(ImageError, match="the limit is 178,956,970"):
            usual.square(huge, size=8)
        with pytest.raises(ImageError, match=r"cut short|damaged"):  # its pixels are not there
            larger.square(huge, size=8)


def test_the_host_keeps_its_own_limits(tmp_path: Path) -> None:
    """Neither Pillow's limit nor a warning filter of the process that uses this package changes, nor does it matter."""
    Image.new("RGB", (60, 50)).save(tmp_path / "a.png")
    Image.new("RGB", (60, 50)).save(tmp_path / "a.gif")
    code = (
        "import numpy, warnings\nfrom PIL import Image\nImage.MAX_IMAGE_PIXELS = 100\nbefore = warnings.filters[:]\n"
        "import siamese_search.images.sandbox as sandbox\n"
        "with sandbox.Decoder() as decoder:\n"
        f"    for path in ({str(tmp_path / 'a.png')!r}, {str(tmp_path / 'a.gif')!r}):\n"
        "        assert decoder.square(path, size=8).width == 60\n"
        "assert Image.MAX_IMAGE_PIXELS == 100\nassert warnings.filters == before\n"
    )
    finished = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_pictures_are_compared_apart(sample: Sample, tmp_path: Path, decoder: Decoder) -> None:
    """A PNG and a BMP of one picture are the same; a changed pixel and another shape make them differ."""
    image = sample("coffee.png")
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "a.bmp")
    assert decoder.same_picture(tmp_path / "a.png", tmp_path / "a.bmp")
    assert helpers(decoder) == 1
    image.putpixel((5, 5), (1, 2, 3))
    image.save(tmp_path / "b.png")
    image.rotate(90, expand=True).save(tmp_path / "c.png")
    assert not decoder.same_picture(tmp_path / "a.png", tmp_path / "b.png")
    assert not decoder.same_picture(tmp_path / "b.png", tmp_path / "c.png")


def test_comparing_large_pictures_costs_this_process_nothing(tmp_path: Path) -> None:
    """Pixels of full size never come here."""
    path = tmp_path / "large.png"
    Image.new("RGB", (4000, 4000), "red").save(path, compress_level=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Decoder() as decoder:
        assert decoder.same_picture(path, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000, "kilobytes"


def test_a_file_that_changes_while_it_is_read_is_not_taken(
    photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash of one content and pixels of another never meet: such a file waits for the next sync."""
    path = photos / "coffee.png"
    square = Decoder.square

    def square_while_written(self: Decoder, source: Path, **options: object) -> object:
        with path.open("ab") as file:
            file.write(b"more")
        return square(self, source, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Decoder, "square", square_while_written)
    assert list(embed_files([path], encoder)) == [Skipped(path=path, reason=CHANGED)]


def test_a_pipe_is_not_waited_for(tmp_path: Path, decoder: Decoder) -> None:
    """Nobody writes to it, and nobody need: it is named at once."""
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="pipe"):
        decoder.square(tmp_path / "pipe.jpg", size=16)
