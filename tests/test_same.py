"""Which files show the same picture, entirely."""

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from siamese_search.images.sandbox import Decoder

Sample = Callable[[str], Image.Image]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """Give a decoder."""
    with Decoder() as decoder:
        yield decoder


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return a picture as a file of that kind."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def logo(
    number: int, *, colour: tuple[int, int, int] = (255, 255, 255), ground: tuple[int, ...] = (0, 0, 0, 0)
) -> Image.Image:
    """Return a drawing on transparency."""
    image = Image.new("RGBA", (60, 60), ground)
    ImageDraw.Draw(image).ellipse((5, 5, 20 + 5 * number, 50), fill=(*colour, 255))
    return image


def test_light_drawings_on_transparency_differ(decoder: Decoder) -> None:
    """Alpha is a part of the picture; the colour of what cannot be seen is none."""
    white = encoded(logo(1), "PNG")
    assert decoder.same_picture(white, encoded(logo(1), "WEBP", lossless=True, exact=True))
    assert decoder.same_picture(white, encoded(logo(1, ground=(9, 99, 9, 0)), "PNG"))
    assert not decoder.same_picture(white, encoded(logo(2), "PNG"))
    assert not decoder.same_picture(white, encoded(logo(1, colour=(0, 0, 0)), "PNG"))


def test_a_cut_out_is_not_its_flattened_version(decoder: Decoder) -> None:
    """What lies on white is not what lies on nothing; what hides nothing by its alpha is the same without."""
    cut_out = logo(1, colour=(200, 0, 0))
    flat = Image.alpha_composite(Image.new("RGBA", cut_out.size, "white"), cut_out)
    assert not decoder.same_picture(encoded(cut_out, "PNG"), encoded(flat.convert("RGB"), "PNG"))
    assert decoder.same_picture(encoded(flat, "PNG"), encoded(flat.convert("RGB"), "BMP"))
    assert not decoder.same_picture(
        encoded(Image.new("RGBA", (9, 9)), "PNG"), encoded(Image.new("RGB", (9, 9), "white"), "PNG")
    )


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_every_frame_and_page_counts(decoder: Decoder, kind: str) -> None:
    """Files that share their first frame are not the same, nor is an animation its still."""
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue", "white")]
    options = {"lossless": True} if kind == "WEBP" else {}

    def file(*numbers: int, **more: object) -> bytes:
        rest = [frames[number] for number in numbers[1:]]
        return encoded(frames[numbers[0]], kind, save_all=True, append_images=rest, **options, **more)

    assert decoder.same_picture(file(0, 1, 2), file(0, 1, 2))
    assert not decoder.same_picture(file(0, 1, 2), file(0, 1, 3))
    assert not decoder.same_picture(file(0, 1, 2), file(0, 1))
    assert not decoder.same_picture(file(0, 1), encoded(frames[0], "PNG"))
    if kind in {"GIF", "WEBP", "PNG"}:
        assert not decoder.same_picture(file(0, 1, duration=100), file(0, 1, duration=500))


def test_what_lies_behind_a_jpeg_counts(decoder: Decoder, sample: Sample) -> None:
    """A camera's second picture is lost with the file."""
    image = sample("coffee.png")
    both = encoded(image, "MPO", save_all=True, append_images=[image.resize((64, 64))])
    assert not decoder.same_picture(both, encoded(image, "JPEG"))
    assert decoder.same_picture(both, both)


def test_the_orientation_is_undone_before(decoder: Decoder, sample: Sample) -> None:
    """A picture that is turned by its EXIF is the one that is stored upright."""
    image = sample("rocket.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(image.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert decoder.same_picture(turned, encoded(image, "PNG"))
    assert not decoder.same_picture(encoded(image.transpose(Image.Transpose.ROTATE_90), "PNG"), encoded(image, "PNG"))


def test_bit_depth_counts(decoder: Decoder, sample: Sample) -> None:
    """Sixteen bits are more than their upper eight; equal ones are the same in any format that holds them."""
    grey = np.asarray(sample("camera.png").convert("L")).astype(np.uint16)
    deep, other = Image.fromarray(grey * 257), Image.fromarray(grey * 256 + 7)
    assert decoder.same_picture(encoded(deep, "PNG"), encoded(deep, "TIFF"))
    assert not decoder.same_picture(encoded(deep, "PNG"), encoded(other, "PNG"))
    assert not decoder.same_picture(encoded(deep, "PNG"), encoded(Image.fromarray(grey.astype(np.uint8)), "PNG"))


def test_what_is_deeper_than_decoded_is_never_called_the_same(decoder: Decoder) -> None:
    """Colours of sixteen bits are decoded to eight: two that differ below look equal, and a shallow copy does too."""
    pixels = np.zeros((4, 4, 3), ">u2")
    pixels[..., 0] = 0x1234

    def ppm(values: np.ndarray) -> bytes:
        return b"P6 4 4 65535\n" + values.tobytes()

    shallow = Image.fromarray((pixels >> 8).astype(np.uint8))
    assert not decoder.same_picture(ppm(pixels), ppm(pixels + 1))
    assert not decoder.same_picture(ppm(pixels), encoded(shallow, "PNG"))
    assert decoder.same_picture(encoded(shallow, "PPM"), encoded(shallow, "PNG"))


def test_the_colour_profile_counts(decoder: Decoder, sample: Sample) -> None:
    """Equal numbers are other colours in another profile."""
    image = sample("coffee.png")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    tagged = encoded(image, "PNG", icc_profile=profile)
    assert decoder.same_picture(tagged, encoded(image, "TIFF", icc_profile=profile))
    assert not decoder.same_picture(tagged, encoded(image, "PNG"))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_kinds_of_pixels_are_compared_as_they_are_seen(decoder: Decoder, sample: Sample, mode: str) -> None:
    """A palette or a single channel is a way to store a picture; ink is another kind of colour."""
    image = sample("coffee.png").convert(mode)
    assert decoder.same_picture(encoded(image, "TIFF"), encoded(image, "TIFF", compression="tiff_lzw"))
    same = decoder.same_picture(encoded(image, "TIFF"), encoded(image.convert("RGB"), "PNG"))
    assert same == (mode != "CMYK")
