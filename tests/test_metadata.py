"""What files say of themselves: EXIF data, whole and damaged; and the files that belong to a picture."""

import struct
import zlib
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rawfile import raw_file
from siamese_search.duplicates.companions import Belongings, Companions
from siamese_search.images.catalogued import Entry, entry, read_iptc, read_resources, read_xmp
from siamese_search.images.metadata import Metadata, read_jpeg_metadata
from siamese_search.images.png import read_texts
from siamese_search.images.sandbox import Decoder
from siamese_search.results import Shared

DECODER = Decoder()


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
    found = DECODER.metadata(path)
    assert found == Metadata(
        captured=datetime(2024, 5, 1, 10, 20, 30, 45000),  # noqa: DTZ001
        has_fraction=True,
        offset=timedelta(hours=2),
        changed=datetime(2024, 5, 1, 10, 20, 30),  # noqa: DTZ001
        camera="Canon EOS 80D",
        software="Firmware 1.0",
        entries=(Entry("date", ""),),
    )
    assert found.details == ("camera", "date")
    assert found.captured_ns == 1_714_551_630_045_000_000


def test_nothing_is_no_error(tmp_path: Path) -> None:
    """A picture without data, no picture, and no file."""
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    assert {DECODER.metadata(tmp_path / name) for name in ("a.png", "b.jpg", "c.jpg")} == {Metadata()}


def test_raw_files_say_what_their_cameras_wrote(tmp_path: Path) -> None:
    """Those that are TIFF say so themselves, others by the JPEG in them."""
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif())
    jpeg = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.nef").write_bytes(raw_file(jpeg))
    (tmp_path / "a.raf").write_bytes(b"FUJIFILMCCD-RAW 0201" + bytes(80) + jpeg)
    assert DECODER.metadata(tmp_path / "a.nef").camera == "NIKON CORPORATION"
    assert DECODER.metadata(tmp_path / "a.raf") == DECODER.metadata(tmp_path / "a.jpg") != Metadata()


def test_data_that_repeat_themselves_are_read_apart(tmp_path: Path) -> None:
    """Neither the first directory nor one below it may ask for gigabytes of copies here."""
    entries = b"".join(struct.pack("<HHII", number, 7, 60_000, 8) for number in range(0x9000, 0x9000 + 4000))
    below = struct.pack("<H", 4000) + entries + bytes(4)
    tiff = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x8769, 4, 1, 26) + bytes(4) + below
    head = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.jpg")
    path = tmp_path / "a.jpg"
    path.write_bytes(head + (tmp_path / "plain.jpg").read_bytes()[2:])
    with path.open("rb") as file:
        assert read_jpeg_metadata(file) is None
    assert DECODER.metadata(path) == Metadata()


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_damage_is_no_error(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    """Whatever a byte becomes, what can be read is read, and nothing is raised."""
    path = tmp_path_factory.getbasetemp() / "damaged.jpg"
    Image.new("RGB", (40, 30)).save(path, exif=exif(fraction="5", software="x"))
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    assert isinstance(DECODER.metadata(path), Metadata)


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
    assert DECODER.metadata(tmp_path / "a.jpg").captured == expected


def belongings(folder: Path, *names: str, folders: tuple[str, ...] = ()) -> dict[str, Belongings]:
    """Make files in a folder; return what belongs to each."""
    for name in (*names, *folders):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    companions = Companions()
    return {name: companions.of(folder / name) for name in names}


def test_companions(tmp_path: Path) -> None:
    """Same stem, or the name and more; what may belong to another picture is shared with it."""
    found = belongings(
        tmp_path,
        *("IMG_1.JPG", "IMG_1.CR2", "img_1.xmp", "IMG_1.JPG.json", "IMG_10.MOV", "IMG_1.txt"),
        *("IMG_2.HEIC", "IMG_2.jpg", "IMG_2.MOV", "IMG_2.jpg.xmp"),
        *("IMG_3.HEIC", "IMG_3.MOV", "IMG_3.AAE", "IMG_3.HEIC.supplemental-metadata.json", "IMG_O3.aae"),
        *("IMG_4(1).jpg", "IMG_4.jpg(1).json", "IMG_4.jpg", "IMG_4.jpg.json"),
        *("IMG_4.jpg.supplemental-metadata(1).json", "IMG_4.jpg.supplemental-met(2).json"),
        *("a-rather-long-name-that-goes-on.jpg", "a-rather-long-name-that-goes-on.jpg.supplement.json"),
        *("b.jpg", "b.WAV", "b.MP", "b.acr", "b.pdf", "b.mp3", "b.png.txt", "b.jpg_original", "b.jpg.webp", "c.DNG"),
        *("c.xmp", "c.DNG.dop", "PXL_1.MP.jpg", "PXL_1.MP", "PXL_1.MP.xmp"),
        folders=("b.photos/x.txt", "IMG_1/x.txt"),
    )
    own = {name: {path.name for path in each.own} for name, each in found.items()}
    assert own["IMG_1.JPG"] == {"IMG_1.CR2", "img_1.xmp", "IMG_1.JPG.json", "IMG_1.txt"}
    assert own["IMG_1.CR2"] == set()
    assert (own["IMG_2.HEIC"], own["IMG_2.jpg"]) == (set(), {"IMG_2.jpg.xmp"})
    shared = (Shared(path=tmp_path / "IMG_2.MOV", pictures=(tmp_path / "IMG_2.HEIC", tmp_path / "IMG_2.jpg")),)
    assert found["IMG_2.HEIC"].shared == found["IMG_2.jpg"].shared == shared
    assert own["IMG_3.HEIC"] == {"IMG_3.MOV", "IMG_3.AAE", "IMG_3.HEIC.supplemental-metadata.json", "IMG_O3.aae"}
    assert own["IMG_4(1).jpg"] == {"IMG_4.jpg(1).json", "IMG_4.jpg.supplemental-metadata(1).json"}
    assert own["IMG_4.jpg"] == {"IMG_4.jpg.json"}
    assert own["a-rather-long-name-that-goes-on.jpg"] == {"a-rather-long-name-that-goes-on.jpg.supplement.json"}
    assert own["b.jpg"] == {"b.WAV", "b.MP", "b.acr", "b.jpg_original"}
    assert own["PXL_1.MP.jpg"] == {"PXL_1.MP", "PXL_1.MP.xmp"}
    assert own["c.DNG"] == {"c.xmp", "c.DNG.dop"}
    assert Companions().of(tmp_path / "nowhere" / "x.jpg") == Belongings()


def test_a_film_is_no_clip(tmp_path: Path) -> None:
    """A picture beside a long film of its name is its poster, and the film stays where it is."""
    (tmp_path / "a.jpg").touch()
    for name, size in (("a.mov", 99_000_000), ("a.mp4", 700_000_000)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    assert [path.name for path in Companions().of(tmp_path / "a.jpg").own] == ["a.mov"]


def test_settings_in_folders_of_programs(tmp_path: Path) -> None:
    """What Nikon's and Phase One's programs keep of a picture, by its name; by its stem where that is one picture's."""
    names = ("a.jpg", "b.jpg", "b.png", "c.jpg")
    found = belongings(
        tmp_path,
        *names,
        folders=("NKSC_PARAM/a.jpg.nksc", "CaptureOne/Settings153/a.cos", "CaptureOne/Settings/b.cos", "x/c.cos"),
    )
    settings = {name: {path.name for path in each.settings} for name, each in found.items()}
    assert settings == {"a.jpg": {"a.jpg.nksc", "a.cos"}, "b.jpg": set(), "b.png": set(), "c.jpg": set()}


def xmp(*, keywords: str = "", **attributes: str) -> bytes:
    """Make a packet of XMP as catalogues write it: keywords in a bag, the rest as attributes with their prefixes."""
    spaces = {
        "dc": "http://purl.org/dc/elements/1.1/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    }
    bag = "".join(f"<rdf:li>{word}</rdf:li>" for word in keywords.split())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        + " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in spaces.items())
        + "".join(f' {name.replace("_", ":")}="{value}"' for name, value in attributes.items())
        + f"><dc:subject><rdf:Bag>{bag}</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    ).encode()


def iptc(**texts: str) -> bytes:
    """Make records of IPTC."""
    numbers = {"title": 5, "keywords": 25, "caption": 120}
    return b"".join(
        struct.pack(">BBBH", 0x1C, 2, numbers[kind], len(text.encode())) + text.encode() for kind, text in texts.items()
    )


def with_iptc(jpeg: bytes, records: bytes) -> bytes:
    """Return a JPEG with records of IPTC as Photoshop writes them."""
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records + bytes(len(records) % 2)
    payload = b"Photoshop 3.0\0" + block
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def kinds(path: Path) -> tuple[str, ...]:
    """Return what is known of a picture, in words."""
    return DECODER.metadata(path).details


def test_what_people_wrote_is_read_from_every_format(tmp_path: Path) -> None:
    """Keywords, ratings, captions and places, in whichever of three standards, before or behind the pixels."""
    image = Image.new("RGB", (40, 30), "teal")
    packet = xmp(keywords="Karl Linz", xmp_Rating="5", photoshop_City="Linz")
    expected = ("keywords (2)", "name of the place", "rating")
    for extension in ("jpg", "webp", "avif"):
        image.save(tmp_path / f"a.{extension}", xmp=packet)
        assert kinds(tmp_path / f"a.{extension}") == expected, extension
    image.save(tmp_path / "a.tif", tiffinfo={700: packet, 33723: iptc(caption="Karl")})
    assert kinds(tmp_path / "a.tif") == ("caption", *expected)
    image.save(tmp_path / "a.jpg", exif=place())
    (tmp_path / "a.jpg").write_bytes(with_iptc((tmp_path / "a.jpg").read_bytes(), iptc(keywords="Karl", title="Oma")))
    assert kinds(tmp_path / "a.jpg") == ("keywords", "place", "title")
    image.save(tmp_path / "a.png")
    png = (tmp_path / "a.png").read_bytes()
    for behind in (b"", png[-12:]):
        end = len(png) - len(behind) if behind else 33  # behind the pixels, or right behind the header
        (tmp_path / "a.png").write_bytes(
            png[:end] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet) + png[end:]
        )
        assert kinds(tmp_path / "a.png") == expected
    digits = b"\niptc\n 9\n" + iptc(caption="Karl").hex().encode()
    text = chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(digits))
    (tmp_path / "a.png").write_bytes(png[:33] + text + png[33:])
    assert kinds(tmp_path / "a.png") == ("caption",)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Make a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def place() -> Image.Exif:
    """Make EXIF data with a place."""
    made = Image.Exif()
    made.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 0.0), 3: "E", 4: (16.0, 18.0, 0.0)})
    return made


def test_what_people_wrote_is_read_from_heic(tmp_path: Path) -> None:
    """As telephones write it, and catalogues after them."""
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "a.heic", xmp=xmp(keywords="Karl"), exif=place())
    assert kinds(tmp_path / "a.heic") == ("keywords", "place")


def test_three_ways_to_say_one_thing(tmp_path: Path) -> None:
    """The same caption in EXIF, IPTC and XMP, and the same keyword by itself and in a path, are no two things."""
    words = "Gro\u00dfmutter,  Linz 1952"
    image = Image.new("RGB", (8, 8))
    described = Image.Exif()
    described[0x010E] = words.encode()
    image.save(tmp_path / "exif.jpg", exif=described)
    image.save(tmp_path / "xmp.jpg", xmp=xmp(dc_description=words.replace("  ", " ")))
    (tmp_path / "iptc.jpg").write_bytes(with_iptc((tmp_path / "xmp.jpg").read_bytes(), iptc(caption=words)))
    entries = {DECODER.metadata(tmp_path / f"{name}.jpg").entries for name in ("exif", "xmp", "iptc")}
    assert entries == {(entry("caption", words),)}
    assert entry("keywords", "People|Karl") == entry("keywords", "People/Karl") == entry("keywords", "karl")
    one, other = Metadata(entries=(*entries.pop(),)), Metadata(entries=read_entries("keywords", "Karl"))
    assert (one.beyond(other), other.beyond(one), one.beyond(one)) == (("caption",), ("keywords",), ())


def read_entries(kind: str, text: str) -> tuple[Entry, ...]:
    """Return the entry that a text of some kind is."""
    found = entry(kind, text)
    assert found
    return (found,)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("caption", text) for text in ("OLYMPUS DIGITAL CAMERA", "SAMSUNG CAMERA PICTURES", "SONY DSC", "  \0\0")),
        *(
            ("caption", text)
            for text in ("KONICA MINOLTA DIGITAL CAMERA", "Exif_JPEG_PICTURE", "DCIM\\100MEDIA\\D.JPG")
        ),
        *(("caption", text) for text in ("oznor", "hdr", "default", "____", "Screenshot", "Created with GIMP", "-1")),
        *(("caption", text) for text in ("IMG_1234.JPG", '{"mirror":false}', "filter: 0; mode: 1;")),
        *(("rating", text) for text in ("0", "", "-1", "x", "inf", "nan")),
        ("keywords", " "),
    ],
)
def test_what_machines_write_is_nothing(kind: str, text: str) -> None:
    """Names of cameras, modes, files and filters where a caption belongs, and no stars."""
    assert entry(kind, text) is None


@pytest.mark.parametrize(
    "text", ["Oma", "hdr of the old bridge", "Our first digital camera", "Linz: Karl; Anna", "1952!a"]
)
def test_what_people_write_is_a_caption(text: str) -> None:
    """However short."""
    assert entry("caption", text)


def test_hostile_xmp_is_not_there() -> None:
    """Entities are not expanded, and of what is cut short the part before that counts."""
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + xmp(xmp_Label="&b;").split(b"?>", 1)[1]
    assert read_xmp(laughs) == []
    packet = xmp(keywords="Karl Linz", xmp_Rating="5")
    assert read_xmp(packet[: packet.index(b"Linz")]) == [entry("rating", "5"), entry("keywords", "Karl")]
    assert read_xmp(b"<x>" * 100_000) == read_xmp(b"\0") == read_xmp(b"") == []


@given(st.binary(max_size=300))
def test_damaged_records_are_read_as_far_as_they_go(tail: bytes) -> None:
    """Whatever follows, nothing is raised."""
    for data in (iptc(caption="Karl") + tail, tail):
        read_iptc(data)
        read_resources(b"8BIM\x04\x04\0\0" + data)
        read_xmp(xmp(keywords="Karl")[:200] + data)
        list(read_texts(BytesIO(b"\x89PNG\r\n\x1a\n" + data)))


def test_the_depth_of_a_file_is_read(tmp_path: Path) -> None:
    """Of colours and of greys, in every format that has more than eight bits."""
    values = np.arange(192, dtype=np.uint16).reshape(8, 8, 3).repeat(8, 0).repeat(8, 1) * 300
    for extension in ("png", "tif", "ppm", "jp2"):
        cv2.imwrite(str(tmp_path / f"a.{extension}"), values)
        assert DECODER.metadata(tmp_path / f"a.{extension}").bits == 16, extension
        assert DECODER.thumbnail(tmp_path / f"a.{extension}", longest=8).bits == 16, extension
    Image.fromarray(values[:, :, 0]).save(tmp_path / "grey.png")
    Image.fromarray(values[:, :, 0].astype(np.float32)).save(tmp_path / "float.tif")
    Image.new("1", (9, 9)).save(tmp_path / "lines.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "plain.jpg")
    bits = {
        name: DECODER.metadata(tmp_path / name).bits for name in ("grey.png", "float.tif", "lines.png", "plain.jpg")
    }
    assert bits == {"grey.png": 16, "float.tif": 32, "lines.png": 8, "plain.jpg": 8}
    assert Metadata(bits=16).beyond(Metadata()) == ("16 bits a channel",)
    assert Metadata().beyond(Metadata(bits=16)) == Metadata(bits=12).beyond(Metadata(bits=16)) == ()


def test_what_lies_beside_the_picture_is_read(tmp_path: Path) -> None:
    """The clip behind a JPEG or in a HEIC, the other eye's view, a gain map; a preview is none of these."""
    image = Image.new("RGB", (64, 48), "teal")
    image.save(tmp_path / "plain.jpg")
    jpeg = (tmp_path / "plain.jpg").read_bytes()
    clip = b"\0\0\0\x18ftypmp42" + bytes(16) + b"\0\0\0\x08moov"
    for name, data in (("motion.jpg", jpeg + clip), ("padded.jpg", jpeg + bytes(100)), ("odd.jpg", jpeg + b"x" * 500)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "cut.jpg").write_bytes(jpeg[:-100])
    image.save(tmp_path / "stereo.mpo", save_all=True, append_images=[image])
    image.save(tmp_path / "preview.mpo", save_all=True, append_images=[image.resize((32, 24))])
    mapped = Image.new("L", (32, 24))
    mapped.save(
        tmp_path / "map.jpg", xmp=b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    )
    mpo = (tmp_path / "preview.mpo").read_bytes()
    end = mpo.rindex(b"\xff\xd8\xff")
    (tmp_path / "hdr.jpg").write_bytes(mpo[:end] + (tmp_path / "map.jpg").read_bytes())
    attached = {path.name: DECODER.metadata(path).attached for path in tmp_path.iterdir()}
    assert attached.pop("motion.jpg") == ("the clip of a motion photo",)
    assert attached.pop("stereo.mpo") == ("a second view",)
    assert attached.pop("hdr.jpg") == ("a gain map",)
    assert set(attached.values()) == {()}
