"""What files say of themselves: EXIF data, whole and damaged; and the files that belong to a picture."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese_search.duplicates.companions import Companions
from siamese_search.images.metadata import Metadata, read_metadata


def exif(*, time: str = "2024:05:01 10:20:30", fraction: str = "", **options: str) -> Image.Exif:
    """Make EXIF data as a camera writes them."""
    made = Image.Exif()
    made[0x010F], made[0x0110] = options.get("make", "Canon"), options.get("model", "Canon EOS 80D")
    if "software" in options:
        made[0x0131] = options["software"]
    made[0x0132] = time
    taken: dict[int, Any] = {0x9003: time}
    if fraction:
        taken[0x9291] = fraction
    if "offset" in options:
        taken[0x9011] = options["offset"]
    made.get_ifd(0x8769).update(taken)
    return made


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_cameras_are_read_from_every_format(tmp_path: Path, extension: str) -> None:
    """Time to its fraction, camera and software, without decoding a pixel."""
    path = tmp_path / f"a.{extension}"
    made = exif(fraction="045", software="Firmware 1.0", offset="+02:00")
    Image.new("RGB", (40, 30), "teal").save(path, exif=made)
    found = read_metadata(path)
    assert found == Metadata(
        captured=datetime(2024, 5, 1, 10, 20, 30, 45000),  # noqa: DTZ001
        has_fraction=True,
        offset=timedelta(hours=2),
        changed=datetime(2024, 5, 1, 10, 20, 30),  # noqa: DTZ001
        camera="Canon EOS 80D",
        software="Firmware 1.0",
        details=2,
    )
    assert found.captured_ns == 1_714_551_630_045_000_000


def test_nothing_is_no_error(tmp_path: Path) -> None:
    """A picture without data, no picture, and no file."""
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    assert {read_metadata(tmp_path / name) for name in ("a.png", "b.jpg", "c.jpg")} == {Metadata()}


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_damage_is_no_error(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    """Whatever a byte becomes, what can be read is read, and nothing is raised."""
    path = tmp_path_factory.getbasetemp() / "damaged.jpg"
    Image.new("RGB", (40, 30)).save(path, exif=exif(fraction="5", software="x"))
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    assert isinstance(read_metadata(path), Metadata)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2024-05-01T10:20:30Z", datetime(2024, 5, 1, 10, 20, 30)),  # noqa: DTZ001
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2024:05:01", None),
        ("2024:13:01 10:20:30", None),
    ],
)
def test_times_as_software_writes_them(tmp_path: Path, time: str, expected: datetime | None) -> None:
    """Other separators are understood; what is no time is none."""
    Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg", exif=exif(time=time))
    assert read_metadata(tmp_path / "a.jpg").captured == expected


def test_companions(tmp_path: Path) -> None:
    """Same stem, or the name and more; what may belong to another picture belongs to none."""
    names = (
        *("IMG_1.JPG", "IMG_1.CR2", "img_1.xmp", "IMG_1.JPG.json", "IMG_10.MOV", "IMG_1.txt"),
        *("IMG_2.HEIC", "IMG_2.jpg", "IMG_2.MOV", "IMG_2.jpg.xmp"),
        *("IMG_3.HEIC", "IMG_3.MOV", "IMG_3.AAE", "IMG_3.HEIC.supplemental-metadata.json"),
        *("IMG_4(1).jpg", "IMG_4.jpg(1).json", "IMG_4.jpg", "IMG_4.jpg.json"),
        *("a-rather-long-name-that-goes-on.jpg", "a-rather-long-name-that-goes-on.jpg.supplement.json"),
    )
    for name in names:
        (tmp_path / name).touch()
    companions = Companions()
    found = {name: {path.name for path in companions.of(tmp_path / name)} for name in names}
    assert found["IMG_1.JPG"] == {"IMG_1.CR2", "img_1.xmp", "IMG_1.JPG.json"}
    assert (found["IMG_2.HEIC"], found["IMG_2.jpg"]) == (set(), {"IMG_2.jpg.xmp"})
    assert found["IMG_3.HEIC"] == {"IMG_3.MOV", "IMG_3.AAE", "IMG_3.HEIC.supplemental-metadata.json"}
    assert (found["IMG_4(1).jpg"], found["IMG_4.jpg"]) == ({"IMG_4.jpg(1).json"}, {"IMG_4.jpg.json"})
    assert found["a-rather-long-name-that-goes-on.jpg"] == {"a-rather-long-name-that-goes-on.jpg.supplement.json"}
    assert companions.of(tmp_path / "nowhere" / "x.jpg") == ()
