"""JPEGs that lack their last bytes, though all of their pixels are there."""

from io import BytesIO

from PIL import Image

from siamese_search.images.jpeg import has_all_scans, read_header

NOTE = "its last bytes are missing, its pixels are all there"
_END = b"\xff\xd9"
_NOISE = bytes(range(1, 255)) * 4  # would be taken for pixels wherever some are missing


def finished(data: bytes) -> bytes | None:
    """Return a JPEG that was cut short with its end put back, None where pixels are missing.

    None are when it makes no difference what follows: two different ends give the same picture, to the last bit.
    """
    header = read_header(data)
    if header is None or not (header.one_scan or has_all_scans(data)):
        return None
    data = data.rstrip(b"\xff")
    pixels = []
    for end in (_END, _NOISE + _END):
        with Image.open(BytesIO(data + end), formats=("JPEG",)) as image:
            image.load()
            pixels.append(image.tobytes())
    return data + _END if pixels[0] == pixels[1] else None
