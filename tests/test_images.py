"""Any image file, as a person would see it."""

import csv
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese_search.errors import ImageError
from siamese_search.images.decode import Square, Thumbnail, load_picture, picture_extensions
from siamese_search.images.sandbox import Decoder

Sample = Callable[[str], Image.Image]


def encoded(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    """Return a picture as a file of that kind."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    out.seek(0)
    return out


def grey_of(source: io.BytesIO | Path) -> np.ndarray:
    """Return a picture's greys at full size, (h, w, 1)."""
    return load_picture(source).pixels[:, :, :1]


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean absolute difference of two pictures."""
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second).mean())


def png(width: int, height: int, bits: int = 1) -> bytes:
    """Return a PNG of zeros by hand: Pillow would need the memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * (1 + (width * bits + 7) // 8) * min(height, 100))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA", "WEBP", "JPEG2000", "GIF", "JPEG", "AVIF"])
def test_every_format_shows_the_same_picture(sample: Sample, kind: str) -> None:
    """Whatever a picture is stored as, its pixels come out, and its format is named."""
    image = sample("astronaut.png")
    picture = load_picture(encoded(image, kind))
    assert (picture.format, picture.width, picture.height) == (kind, 256, 256)
    assert picture.pixels.dtype == np.uint8
    assert difference(picture.pixels, np.asarray(image)) < (9 if kind in {"GIF", "JPEG", "AVIF", "WEBP"} else 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_are_upright(sample: Sample, kind: str, orientation: int) -> None:
    """All eight EXIF orientations are undone, at full size, squashed, and in thumbnails; the size is that shown."""
    upright = sample("rocket.jpg")  # wider than high
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(stored, kind, exif=exif)
    picture = load_picture(file)
    assert (picture.width, picture.height) == upright.size
    assert difference(picture.pixels, np.asarray(upright)) < 6
    squashed = load_picture(file, Square(64)).pixels
    assert difference(squashed, np.asarray(upright.resize((64, 64), Image.Resampling.BICUBIC))) < 6


def test_orientation_that_makes_no_sense_is_ignored(sample: Sample) -> None:
    """Orientation 9, or damaged EXIF, leaves the picture as it is stored."""
    exif = Image.Exif()
    exif[0x0112] = 9
    assert load_picture(encoded(sample("rocket.jpg"), "JPEG", exif=exif)).width == 256
    assert load_picture(encoded(sample("rocket.jpg"), "JPEG", exif=b"Exif\0\0garbage")).width == 256


def test_cmyk_is_shown_in_its_colours(sample: Sample) -> None:
    """A CMYK JPEG, stored inverted as Adobe does, looks like its RGB original, not like its negative."""
    image = sample("coffee.png")
    picture = load_picture(encoded(image.convert("CMYK"), "JPEG", quality=95))
    assert difference(picture.pixels, np.asarray(image)) < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled(sample: Sample, kind: str) -> None:
    """16-bit greys span the same black to white as 8-bit ones."""
    grey = np.asarray(sample("camera.png").convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert difference(grey_of(encoded(deep, kind))[..., 0], grey) <= 1


def test_big_endian_16_bit_is_scaled(sample: Sample, tmp_path: Path) -> None:
    """Byte order does not matter."""
    grey = np.asarray(sample("camera.png").convert("L"))
    Image.fromarray((grey.astype(">u2") * 257).astype(">u2")).save(tmp_path / "a.tif")
    assert difference(grey_of(tmp_path / "a.tif")[..., 0], grey) <= 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 255.0), (-3.1, 3.1), (0.0, 40_000.0)])
def test_float_greys_are_scaled(sample: Sample, low: float, high: float) -> None:
    """Floats in [0, 1] and [0, 255] are taken as such, any other range is stretched to black and white."""
    grey = np.asarray(sample("camera.png").convert("L")).astype(np.float32)
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    file = encoded(Image.fromarray(grey * np.float32(high - low) + np.float32(low)), "TIFF")
    assert difference(grey_of(file)[..., 0], np.rint(grey * 255)) <= 1


def test_floats_that_are_no_numbers_are_black() -> None:
    """NaN and infinity neither fail nor spoil the scale of the rest."""
    values = np.array([[0.0, 1.0], [np.nan, np.inf]], np.float32)
    pixels = grey_of(encoded(Image.fromarray(values), "TIFF"))
    assert pixels[..., 0].tolist() == [[0, 255], [0, 0]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_shows_white(mode: str) -> None:
    """What is transparent is white, whatever colour hides behind it; half transparent is half way."""
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    if mode != "P":
        image.putpixel((2, 0), (0, 0, 0, 128))
    pixels = load_picture(encoded(image.convert(mode), "PNG")).pixels[0, :, 0]
    assert pixels.tolist() == [255, 0, 255 if mode == "P" else 127]


def test_transparent_edges_do_not_darken_when_squashed() -> None:
    """Resampling weighs colours by their opacity: as much red on transparent black is as much red on white."""
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (16, 16, 48, 48))
    assert load_picture(encoded(image, "PNG"), Square(16)).pixels[:, :, 0].min() >= 254


def test_what_is_light_on_nothing_is_seen() -> None:
    """White drawings on transparency are drawings, not all the same white; what is all transparent is empty."""
    image = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (16, 16, 48, 48))
    pixels = load_picture(encoded(image, "PNG")).pixels
    assert (pixels[0, 0].tolist(), pixels[32, 32].tolist()) == ([0, 0, 0], [255, 255, 255])
    image.paste((0, 0, 0, 255), (20, 20, 30, 22))
    assert load_picture(encoded(image, "PNG")).pixels[0, 0].tolist() == [255, 255, 255]
    assert np.ptp(load_picture(encoded(Image.new("RGBA", (8, 8)), "PNG")).pixels) == 0


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_counts(kind: str) -> None:
    """Of animations and of pages of one size the first is taken, and all are counted."""
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    file = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with Decoder() as decoder:
        for picture in (load_picture(file), decoder.thumbnail(file, longest=20)):
            assert np.abs(picture.pixels.astype(int) - (255, 0, 0)).max() < 5
            assert picture.frames == 3


def test_the_page_with_most_pixels_stands_for_the_file(sample: Sample) -> None:
    """Neither a TIFF nor an icon counts by the thumbnail that comes first in it."""
    image = sample("coffee.png")
    picture = load_picture(encoded(image.resize((40, 30)), "TIFF", save_all=True, append_images=[image, image]))
    assert (picture.width, picture.height, picture.frames) == (256, 171, 3)
    assert difference(picture.pixels, np.asarray(image)) == 0
    icon = load_picture(encoded(image.resize((128, 128)), "ICO", sizes=[(16, 16), (128, 128), (32, 32)]))
    assert (icon.width, icon.frames) == (128, 1)
    damaged = encoded(image, "TIFF", save_all=True, append_images=[image]).getvalue()[:-3000]
    assert load_picture(io.BytesIO(damaged)).width == 256


def mpo(image: Image.Image) -> bytes:
    """Return a JPEG as many cameras write it, with a smaller one behind it."""
    return encoded(image, "MPO", save_all=True, append_images=[image.resize((64, 64))]).getvalue()


def test_a_jpeg_with_another_one_behind_it_is_a_jpeg(sample: Sample) -> None:
    """Here and apart it is one picture, of the format that its name says."""
    data = mpo(sample("coffee.png"))
    with Decoder() as decoder:
        for picture in (load_picture(data), decoder.thumbnail(data, longest=99)):
            assert (picture.format, picture.width, picture.frames) == ("JPEG", 256, 1)


def test_a_jpeg_that_lacks_its_end_is_read_with_a_note(sample: Sample) -> None:
    """Where all pixels are there, and only there: line by line, and scan by scan."""
    for progressive in (False, True):
        whole = encoded(sample("coffee.png"), "JPEG", progressive=progressive).getvalue()
        expected = load_picture(whole)
        assert expected.note == ""
        with Decoder() as decoder:
            for cut in (1, 2):
                picture = decoder.thumbnail(whole[:-cut], longest=999)
                assert np.array_equal(picture.pixels, expected.pixels)
                assert "pixels are all there" in picture.note
            for cut in (40, 400, 4000):
                with pytest.raises(ImageError, match="cut short"):
                    decoder.thumbnail(whole[:-cut], longest=999)


def test_a_progressive_jpeg_without_its_last_scan_is_not_whole(sample: Sample) -> None:
    """It looks like a picture, but a blurred one."""
    whole = encoded(sample("coffee.png"), "JPEG", progressive=True).getvalue()
    with pytest.raises(ImageError, match="cut short"):
        load_picture(whole[: whole.rindex(b"\xff\xda")])


def raw(preview: bytes, *, start: bytes = b"", maker: bytes = b"NIKON CORPORATION\0", orientation: int = 1) -> bytes:
    """Return what a RAW file looks like from outside: a directory, a thumbnail, sensor data, a preview."""
    small = encoded(Image.new("RGB", (16, 12), "blue"), "JPEG").getvalue()
    values = 8 + len(start) + 2 + 4 * 12 + 4
    entries = [
        struct.pack("<HHII", 0x010F, 2, len(maker), values),
        struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0),
        struct.pack("<HHII", 0x014A, 4, 1, 8),
        struct.pack("<HHII", 0xC612, 1, 4, 1) if start == b"DNG!" else struct.pack("<HHII", 0xC5D8, 4, 1, 1),
    ]
    directory = struct.pack("<H", 4) + b"".join(entries) + bytes(4)
    sensor = np.random.default_rng(0).integers(0, 256, 3000, dtype=np.uint8).tobytes()
    return b"II*\0" + struct.pack("<I", 8 + len(start)) + start + directory + maker + small + sensor + preview + sensor


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        ("NEF", lambda jpeg: raw(jpeg, orientation=6)),
        ("ARW", lambda jpeg: raw(jpeg, maker=b"SONY\0", orientation=6)),
        ("CR2", lambda jpeg: raw(jpeg, start=b"CR\x02\0", maker=b"Canon\0", orientation=6)),
        ("DNG", lambda jpeg: raw(jpeg, start=b"DNG!", maker=b"Phone\0", orientation=6)),
        ("RAF", lambda jpeg: b"FUJIFILMCCD-RAW 0201" + bytes(80) + jpeg + bytes(500)),
        ("CR3", lambda jpeg: b"\0\0\0\x18ftypcrx " + bytes(40) + b"CMT1" + raw(b"", orientation=6) + jpeg),
    ],
)
def test_raw_files_are_read_through_their_preview(sample: Sample, kind: str, wrap: Callable[[bytes], bytes]) -> None:
    """The largest JPEG in them stands for them, turned as the file says; they are named after their format."""
    image = sample("coffee.png")
    data = wrap(encoded(image, "JPEG", quality=90).getvalue())
    with Decoder() as decoder:
        picture = decoder.thumbnail(data, longest=999)
    upright = image if kind == "RAF" else image.transpose(Image.Transpose.ROTATE_270)
    assert (picture.format, picture.width, picture.height) == (kind, *upright.size)
    assert difference(picture.pixels, np.asarray(upright)) < 6
    assert f".{kind.lower()}" in picture_extensions()


def test_a_raw_file_without_a_preview_says_so() -> None:
    """The lossless JPEG that holds what the sensor saw is none; neither is a TIFF with a camera's name a RAW file."""
    sensor = b"\xff\xd8\xff\xc3\x00\x0b\x08\x10\x00\x10\x00\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x01\x00\x00"
    with pytest.raises(ImageError, match="without a preview"):
        load_picture(b"FUJIFILMCCD-RAW 0201" + bytes(80) + sensor)
    exif = Image.Exif()
    exif[0x010F] = "NIKON CORPORATION"
    assert load_picture(encoded(Image.new("RGB", (9, 8)), "TIFF", exif=exif)).format == "TIFF"


@pytest.mark.parametrize(("low", "high"), [(0, 510), (700, 4095), (7000, 8500), (30_000, 34_000)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_shallow_data_in_16_bits_has_its_own_range(sample: Sample, kind: str, low: int, high: int) -> None:
    """What a sensor of 9 to 14 bits wrote is no black picture."""
    grey = np.asarray(sample("camera.png").convert("L")).astype(float)
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    deep = Image.fromarray((low + grey * (high - low)).round().astype(np.uint16))
    assert difference(grey_of(encoded(deep, kind))[..., 0], np.rint(grey * 255)) < 1


def test_a_depth_that_a_tiff_names_is_its_range() -> None:
    """Twelve bits span 0 to 4095, whatever a picture makes use of."""
    values = np.array([[0, 1000], [2048, 2000]])
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.tolist())
    tags = [(256, 2), (257, 2), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 2), (279, len(packed))]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    data = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", len(tags)) + entries + bytes(4)
    expected = np.rint(values * 255 / 4095).astype(int).tolist()
    assert grey_of(io.BytesIO(data))[..., 0].tolist() == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_comes_out_alike(mode: str, channels: int) -> None:
    """Each of Pillow's modes that a TIFF can hold ends as uint8 of the shape asked for."""
    if mode == "YCbCr" and int(PIL.__version__.partition(".")[0]) < 13:
        pytest.skip("Pillow before 13 writes such a TIFF too short")
    file = encoded(Image.new(mode, (7, 5)), "TIFF")
    assert load_picture(file).pixels.shape == (5, 7, 3)
    assert load_picture(file, Square(4, channels)).pixels.shape == (4, 4, channels)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [32, 100, 160])
def test_fast_jpeg_decoding_looks_like_slow(sample: Sample, size: int) -> None:
    """Decoding a JPEG at a fraction of its size changes next to nothing, and the size told stays the file's."""
    image = sample("coffee.png").resize((1500, 1000))
    file = encoded(image, "JPEG", quality=95)
    picture = load_picture(file, Square(size))
    assert (picture.width, picture.height) == (1500, 1000)
    full = Image.fromarray(load_picture(file).pixels).resize((size, size), Image.Resampling.BICUBIC)
    assert difference(picture.pixels, np.asarray(full)) < 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_truncated_files_are_refused(sample: Sample, kind: str) -> None:
    """Half a file is no picture, at full size and at a small one."""
    data = encoded(sample("chelsea.png"), kind).getvalue()
    for wanted in (None, Square(32)):
        with pytest.raises(ImageError):
            load_picture(io.BytesIO(data[: len(data) // 2]), wanted)


def test_bombs_are_refused_from_their_header() -> None:
    """Too many pixels are refused before they are decoded, with the same words above and below Pillow's own limits."""
    with Decoder() as decoder:
        for width, height in ((100_000, 100_000), (20_000, 10_000), (13_400, 13_400)):
            with pytest.raises(ImageError, match=r"too large: .* pixels, the limit is 178,956,970"):
                decoder.square(png(width, height), size=32)
    with pytest.raises(ImageError, match="the limit is 63"):
        load_picture(io.BytesIO(png(8, 8)), max_pixels=63)
    assert load_picture(io.BytesIO(png(8, 8)), max_pixels=64).width == 8


def test_large_pictures_within_the_limit_make_no_noise() -> None:
    """Between Pillow's warning limit and ours a picture is decoded and nobody is warned."""
    rows = zlib.compress(b"\0" * (1 + 1_188) * 9_500)
    data = png(9_500, 9_500)
    start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    chunk = struct.pack(">I", len(rows)) + b"IDAT" + rows + struct.pack(">I", zlib.crc32(b"IDAT" + rows))
    with warnings.catch_warnings(), Decoder() as decoder:
        warnings.simplefilter("error")
        assert decoder.square(data[:start] + chunk + data[end:], size=16, channels=1).pixels.max() == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>404</html>", "not an image that can be read"),
        (b"\x89PNG\r\n\x1a\n", "not an image that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not an image that can be read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1 and nothing more", "not an image that can be read"),
    ],
)
def test_reasons_are_for_people(tmp_path: Path, data: bytes, reason: str) -> None:
    """An unreadable file is named with a reason anyone understands; PostScript is never run."""
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        load_picture(path)
    assert (caught.value.path, caught.value.reason) == (str(path), reason)
    with pytest.raises(ImageError, match=reason):
        load_picture(io.BytesIO(data))


def test_missing_files_and_folders_are_told(tmp_path: Path) -> None:
    """There is a reason for each."""
    with pytest.raises(ImageError, match="no such file"):
        load_picture(tmp_path / "nothing.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        load_picture(tmp_path)


@given(
    seed=st.integers(0, 2**32 - 1),
    damage=st.integers(1, 60),
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP"]),
)
def test_damaged_files_decode_or_raise_image_error(seed: int, damage: int, kind: str) -> None:
    """Whatever bytes are changed, nothing but a picture or an ImageError comes out."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, 24 * 24 * 3).astype(np.uint8).reshape(24, 24, 3)
    data = bytearray(encoded(Image.fromarray(ramp), kind).getvalue())
    for place in rng.integers(0, len(data), damage):
        data[place] = int(rng.integers(256))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = load_picture(io.BytesIO(data), Square(8), max_pixels=1_000_000)
        except ImageError as error:
            assert error.reason  # noqa: PT017  both outcomes are right
        else:
            assert picture.pixels.shape == (8, 8, 3)


def test_streams_that_cannot_seek_are_read(sample: Sample) -> None:
    """A pipe holds a picture as well as a file does."""

    class Pipe(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.rest = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self.rest.read(size)

    pipe = Pipe(encoded(sample("coffee.png"), "PNG").getvalue())
    assert load_picture(pipe).format == "PNG"  # type: ignore[arg-type]


def test_heic_is_read_with_its_extra(sample: Sample) -> None:
    """HEIC decodes where the extra is installed."""
    heif = pytest.importorskip("pillow_heif")
    image = sample("coffee.png")
    out = io.BytesIO()
    heif.from_pillow(image).save(out, quality=90)
    out.seek(0)
    picture = load_picture(out)
    assert picture.format == "HEIF"
    assert difference(picture.pixels, np.asarray(image)) < 8
    assert ".heic" in picture_extensions()


def test_extensions_are_those_that_can_be_drawn() -> None:
    """The usual ones are there; what Pillow can only write, or would run a program for, is not."""
    assert picture_extensions() >= {".jpg", ".jpeg", ".png", ".gif", ".webp", ".tif", ".bmp", ".avif", ".heic"}
    assert not picture_extensions() & {".eps", ".ps", ".pdf", ".mpg", ".hdf", ".txt"}


def test_thumbnails_keep_the_shape(sample: Sample, tmp_path: Path) -> None:
    """The longer side is as asked, small pictures are not blown up, turned ones are upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    sample("rocket.jpg").save(tmp_path / "a.jpg", exif=exif)
    picture = load_picture(tmp_path / "a.jpg", Thumbnail(64))
    assert (picture.height, picture.width) == (256, sample("rocket.jpg").height)
    assert (picture.image.mode, picture.image.height) == ("RGB", 64)
    assert picture.image.width < 64
    assert load_picture(tmp_path / "a.jpg", Thumbnail(9999)).image.height == 256


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore")
def test_the_messy_files_end_as_their_manifest_says(shared: Path) -> None:
    """Each of the odd and broken files decodes or is refused as expected; the sound HEIC ones decode."""
    folder = shared / "data" / "messy"
    heic = {"heif_RGB_8__128x128.heif", "heif_zPug_3.heic", "heif_IMG_5195.HEIC"}
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 127
    for row in rows:
        expected = "decodes" if row["file"] in heic else row["expected"]
        try:
            picture = load_picture(folder / row["file"], Square(160))
        except ImageError:
            assert expected == "rejected", row["file"]
        else:
            assert expected == "decodes", row["file"]
            assert picture.pixels.shape == (160, 160, 3)
