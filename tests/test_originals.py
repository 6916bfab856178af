"""Originals are kept: what a camera wrote before what was made of it; bursts and names of one file are no copies."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from siamese_search.duplicates.find import find_duplicates
from siamese_search.duplicates.keeper import KeeperRules, is_lossless
from siamese_search.duplicates.origin import derived_name
from siamese_search.encoder import Encoder
from siamese_search.gallery import Gallery
from siamese_search.report.data import dedupe_csv, dedupe_json
from siamese_search.report.words import kind_words, note_words, plan_sentence, reason_words
from siamese_search.results import DedupeReport, Item, Loss, Rule
from test_metadata import exif, place, xmp

NEAR = 0.7
Sample = Callable[[str], Image.Image]


@pytest.fixture
def found(encoder: Encoder, tmp_path: Path) -> Callable[..., DedupeReport]:
    """Give a function that indexes a folder and finds its duplicates."""

    def find(folder: Path, **options: object) -> DedupeReport:
        gallery = Gallery(tmp_path / "gallery", encoder=encoder)
        gallery.sync([folder], calibrate=False)
        return find_duplicates(gallery, threshold=NEAR, **options)

    return find


def names(report: DedupeReport) -> dict[str, set[str]]:
    """Return the file names of copies by keeper."""
    return {Path(group.keep).name: {Path(copy.path).name for copy in group.copies} for group in report.groups}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make an empty folder for pictures."""
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def test_the_cameras_file_is_kept(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """Whatever is larger, lossless, newer or shorter by name: an edit, a screenshot, a messenger's, a resized one."""
    photo = sample("coffee.png")
    photo.save(folder / "IMG_0001 with a longer name.jpg", quality=85, exif=exif())
    ImageEnhance.Color(photo).enhance(1.3).save(folder / "a.png", exif=exif())
    ImageEnhance.Brightness(photo).enhance(1.1).save(folder / "b.jpg", quality=100, exif=exif(software="GIMP 2.10"))
    photo.resize((512, 341)).save(folder / "Screenshot 2024.png")
    photo.save(folder / "IMG-20240501-WA0003.jpg", quality=95)
    small = exif()
    small.get_ifd(0x8769).update({0xA002: 256, 0xA003: 171})
    photo.resize((300, 200)).save(folder / "c.jpg", quality=100, exif=small)
    (folder / "d (1).jpg").write_bytes((folder / "IMG_0001 with a longer name.jpg").read_bytes())
    report = found(folder)
    assert set(names(report)) == {"IMG_0001 with a longer name.jpg"}
    assert len(names(report)["IMG_0001 with a longer name.jpg"]) == 6
    assert report.groups[0].reason
    assert report.groups[0].reason.rule is Rule.ORIGINAL_NAME
    assert report.groups[0].reason.runner_up == "a copy"


def test_the_reason_names_the_camera(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """With its time, and what is known of the next best."""
    sample("coffee.png").save(folder / "a.jpg", quality=85, exif=exif())
    sample("coffee.png").save(folder / "b.png")
    (group,) = found(folder).groups
    assert group.reason
    assert (group.reason.rule, group.reason.keeper) == (Rule.CAMERA, "Canon EOS 80D, 2024-05-01 10:20:30")
    assert group.reason.runner_up == "without a camera's data"
    assert set(names(found(folder, rules=KeeperRules(rules=(Rule.LOSSLESS,))))) == {"b.png"}


def test_oldest_is_by_capture_then_by_file(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """A picture that knows when it was taken is older than one that does not, whatever the files' times say."""
    sample("coffee.png").save(folder / "a.jpg", exif=exif())
    sample("coffee.png").save(folder / "b.png")
    sample("coffee.png").save(folder / "c.png", compress_level=0)
    for name, time in (("a.jpg", 1_700_000_000), ("b.png", 1_500_000_000), ("c.png", 1_400_000_000)):
        os.utime(folder / name, (time, time))
    rules = KeeperRules(rules=(Rule.OLDEST,))
    assert set(names(found(folder, rules=rules))) == {"a.jpg"}
    (folder / "a.jpg").unlink()
    assert set(names(found(folder, rules=rules))) == {"c.png"}


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        ("Backup (1)", "a copy, by its name"),
        ("Karl (1958)", ""),
        ("IMG_1234 copy 2", "a copy, by its name"),
        ("IMG_1234 - Kopie", "a copy, by its name"),
        ("IMG_1234 - Copy (3)", "a copy, by its name"),
        ("Copy of sunset", "a copy, by its name"),
        ("Kopie von Strand", "a copy, by its name"),
        ("sunset-edited", "edited, by its name"),
        ("Strand-bearbeitet", "edited, by its name"),
        ("IMG_E1234", "edited, by its name"),
        ("PXL_20240101_101112~2", "edited, by its name"),
        ("IMG-20240101-WA0003", "from a messenger"),
        ("WhatsApp Image 2024-01-01 at 10.11.12", "from a messenger"),
        ("Screenshot_20240101-101112", "a screenshot"),
        ("Bildschirmfoto 2024-01-01 um 10.11.12", "a screenshot"),
        ("sunset_thumb", "a thumbnail"),
        ("sunset-150x150", "a thumbnail"),
        ("IMG_1234", ""),
        ("photocopy machine", ""),
        ("Edith", ""),
        ("editorial", ""),
        ("copyright notice", ""),
        ("P1010001", ""),
        ("2024-01-01 10.11.12", ""),
        ("thumbs up for us", "a thumbnail"),
    ],
)
def test_names_tell_what_is_derived(stem: str, words: str) -> None:
    """In the languages and ways that people's programs have; ordinary words stay ordinary."""
    assert derived_name(stem) == words


def test_two_exposures_are_a_burst(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """Pictures taken at different moments are no copies, each keeps its own copies, and the sharpest is marked."""
    photo = sample("chelsea.png")
    for second, name in enumerate(("b", "a", "c")):
        frame = photo.filter(ImageFilter.GaussianBlur(1.5)) if name == "b" else photo
        ImageDraw.Draw(frame).rectangle((5 * second, 5, 5 * second + 4, 9), "black")
        frame = frame.filter(ImageFilter.GaussianBlur(0.7)) if name == "c" else frame
        frame.save(folder / f"{name}.jpg", quality=95, exif=exif(fraction=f"{second}0"))
        frame.save(folder / f"{name} small.jpg", quality=50, exif=exif(fraction=f"{second}00"))
    report = found(folder)
    assert names(report) == {f"{name}.jpg": {f"{name} small.jpg"} for name in "abc"}
    (burst,) = report.bursts
    assert [path.name for path in burst.pictures] == ["b.jpg", "a.jpg", "c.jpg"]
    assert burst.sharpest == folder / "a.jpg"


def test_equal_exposures_are_told_apart_by_their_time(
    folder: Path, sample: Sample, found: Callable[..., DedupeReport]
) -> None:
    """Frames with the same pixels, as of a covered lens, have the same embedding and are two exposures all the same."""
    for name, time in (("a", "2024:05:01 10:20:30"), ("b", "2024:05:01 10:20:31")):
        sample("coffee.png").save(folder / f"{name}.jpg", exif=exif(time=time))
        (folder / f"{name} again.jpg").write_bytes((folder / f"{name}.jpg").read_bytes())
    report = found(folder)
    assert names(report) == {"a.jpg": {"a again.jpg"}, "b.jpg": {"b again.jpg"}}
    assert [[path.name for path in burst.pictures] for burst in report.bursts] == [["a.jpg", "b.jpg"]]


def test_moments_count_without_a_camera(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """Two times of capture are two exposures, be the cameras' names lost; a copy that lost its time is one of both."""
    for name, time in (("a", "2024:05:01 10:20:30"), ("b", "2024:06:01 10:20:30")):
        sample("coffee.png").save(folder / f"{name}.jpg", quality=90, exif=exif(time=time, make="", model=""))
    report = found(folder)
    assert report.groups == ()
    assert [[path.name for path in burst.pictures] for burst in report.bursts] == [["a.jpg", "b.jpg"]]
    sample("coffee.png").save(folder / "c.jpg", quality=50)
    assert len(found(folder).groups) == 1


def test_a_person_may_call_two_exposures_the_same(
    folder: Path, sample: Sample, encoder: Encoder, tmp_path: Path
) -> None:
    """What a person says counts more than what a camera's clock says."""
    for name, time in (("a", "2024:05:01 10:20:30"), ("b", "2024:05:01 11:20:30")):
        sample("coffee.png").save(folder / f"{name}.jpg", exif=exif(time=time))
    gallery = Gallery(tmp_path / "gallery", encoder=encoder)
    gallery.sync([folder], calibrate=False)
    assert find_duplicates(gallery, threshold=NEAR).groups == ()
    gallery.answers.set(*(item.id for item in gallery.items()), "same")
    assert names(find_duplicates(gallery, threshold=NEAR)) == {"a.jpg": {"b.jpg"}}


def relations(report: DedupeReport) -> dict[str, str]:
    """Return how each copy relates to its keeper, by its file name."""
    return {copy.path.name: copy.relation.value for group in report.groups for copy in group}


def test_a_frame_never_beats_the_photo_in_it(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """Without a word about where they come from, and whatever their size: bars, and a photo on a plain screen."""
    photo = sample("coffee.png")
    photo.save(folder / "z.jpg", quality=90)
    ImageOps.expand(photo, 30, "black").save(folder / "a.png")
    screen = Image.new("RGB", (photo.width + 60, photo.height * 2), "white")
    screen.paste(photo, (30, photo.height // 2))
    screen.save(folder / "b.png")
    report = found(folder)
    assert names(report) == {"z.jpg": {"a.png", "b.png"}}
    assert set(relations(report).values()) == {"confirmed"}
    assert report.groups[0].reason
    assert (report.groups[0].reason.rule, report.groups[0].reason.keeper) == (Rule.SOURCE, "less of a border")


def test_what_shows_more_never_goes_for_a_part_of_it(
    folder: Path, sample: Sample, found: Callable[..., DedupeReport]
) -> None:
    """A whole and its crop, a photo in a collage, colours and greys: whichever is kept, the other stays."""
    photo = sample("chelsea.png")
    crop = photo.crop((40, 20, 240, 160))
    crop.save(folder / "crop.png")
    photo.save(folder / "whole.jpg", quality=90)
    coffee = sample("coffee.png")
    collage = Image.new("RGB", (coffee.width, coffee.height * 2))
    collage.paste(coffee, (0, 0))
    collage.paste(sample("astronaut.png").resize(coffee.size), (0, coffee.height))
    collage.save(folder / "collage.jpg", quality=95)
    coffee.save(folder / "part.jpg", quality=90)
    rocket = sample("rocket.jpg")
    rocket.save(folder / "colours.jpg", quality=90)
    rocket.convert("L").save(folder / "grey.png")
    by_default = found(folder)
    assert relations(by_default)["crop.png"] == relations(by_default)["grey.png"] == "confirmed"
    assert "confirmed" not in {relations(by_default).get(name) for name in ("collage.jpg", "part.jpg")}
    lossless = relations(found(folder, rules=KeeperRules(rules=(Rule.LOSSLESS,))))
    assert lossless["whole.jpg"] == lossless["colours.jpg"] == "altered"


def test_writing_on_a_frame_and_what_is_transparent_stays(
    folder: Path, sample: Sample, found: Callable[..., DedupeReport]
) -> None:
    """A line under a photo is no plain border, and a cut-out is more than itself on white."""
    photo = sample("coffee.png").resize((600, 400))
    photo.save(folder / "DSC_1.jpg", quality=90, exif=exif())
    framed = ImageOps.expand(photo, (30, 30, 30, 120), "white")
    ImageDraw.Draw(framed).text((60, 450), "Rome, with Grandma, 1987", "black", font_size=36)
    framed.save(folder / "framed.jpg", quality=90)
    cut_out = sample("astronaut.png").resize((400, 400))
    cut_out.putalpha(Image.radial_gradient("L").resize((400, 400)).point(lambda value: 255 if value < 200 else 0))
    cut_out.save(folder / "cut-out.png")
    on_white = Image.new("RGBA", cut_out.size, "white")
    on_white.alpha_composite(cut_out)
    on_white.convert("RGB").resize((480, 480)).save(folder / "on white.jpg", quality=95)
    said = relations(found(folder))
    assert said["framed.jpg"] == "altered"
    assert said.get("cut-out.png", "altered") == "altered"


def test_a_large_picture_never_goes_for_a_small_one(
    folder: Path, sample: Sample, found: Callable[..., DedupeReport]
) -> None:
    """Not for one that lost its data, whatever program the large one names; nor for one that has more data."""
    photo = sample("rocket.jpg").resize((640, 427))
    photo.save(folder / "DSC_1004.JPG", quality=90, exif=exif(software="Microsoft Windows Photo Viewer 6.1"))
    photo.resize((320, 214)).save(folder / "rocket.jpg", quality=70)
    cat = sample("chelsea.png").resize((640, 427))
    cat.save(folder / "cat.jpg", quality=90, exif=exif(software="Photoshop Lightroom 5.0"))
    cat.resize((200, 133)).save(folder / "cat small.jpg", quality=70, exif=exif())
    report = found(folder)
    assert names(report)["DSC_1004.JPG"] == {"rocket.jpg"}
    assert relations(report)["rocket.jpg"] == "confirmed"
    assert relations(report).get("cat.jpg", "altered") == "altered"


@pytest.mark.parametrize("details", [True, False])
def test_a_small_cameras_file_beside_a_large_edit(
    details: bool, folder: Path, sample: Sample, found: Callable[..., DedupeReport]
) -> None:
    """The camera's is kept, the large one stays too, and both are said: why the one, and what the other has more."""
    cat = sample("chelsea.png").resize((900, 600))
    cat.save(folder / "large.jpg", quality=92, exif=exif(software="Adobe Photoshop Lightroom 5.0"))
    cat.resize((300, 200)).save(folder / "small.jpg", quality=88, exif=exif())
    report = found(folder, details=details)
    (group,) = report.groups
    (copy,) = group.copies
    assert group.keep.name == "small.jpg"
    assert reason_words(group.reason) == (
        "as a camera wrote it: Canon EOS 80D, 2024-05-01 10:20:30, next edited with Photoshop Lightroom 5.0"
    )
    assert (copy.loss, report.acts_on(copy), report.freed(group)) == (Loss.DETAILS, False, 0)
    assert "has more detail than the one kept" in kind_words(copy)


def test_names_of_one_file_are_no_copies(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """Hard links and links from outside: said, never copies; a copy with another name elsewhere frees nothing."""
    sample("coffee.png").save(folder / "a.png")
    os.link(folder / "a.png", folder / "a link.png")
    sample("coffee.png").save(folder / "copy.bmp")
    (folder / "same.png").write_bytes((folder / "a.png").read_bytes())
    os.link(folder / "same.png", folder.parent / "elsewhere.png")
    (group,) = found(folder, rules=KeeperRules(rules=(Rule.SHORTEST_PATH,))).groups
    assert (Path(group.keep).name, [path.name for path in group.links]) == ("a.png", ["a link.png"])
    assert {Path(copy.path).name: copy.linked for copy in group.copies} == {"copy.bmp": False, "same.png": True}
    for name in ("copy.bmp", "same.png"):
        (folder / name).unlink()
    assert found(folder).groups == ()


def test_a_linked_copy_stays(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """Two names of one copy: neither frees anything by itself, so neither is planned or counted as freed."""
    sample("coffee.png").save(folder / "a.png")
    (folder / "one copy.png").write_bytes((folder / "a.png").read_bytes())
    os.link(folder / "one copy.png", folder / "other copy.png")
    report = found(folder)
    (group,) = report.groups
    assert Path(group.keep).name == "a.png"
    assert [copy.linked for copy in group.copies] == [True, True]
    assert (report.freed(group), [report.acts_on(copy) for copy in group]) == (0, [False, False])


def test_a_link_to_the_other_gallery_is_no_copy(
    folder: Path, sample: Sample, encoder: Encoder, found: Callable[..., DedupeReport], tmp_path: Path
) -> None:
    """A picture of the other gallery under a second name would be lost with it, whichever of its equals is shown."""
    kept = tmp_path / "kept"
    kept.mkdir()
    sample("coffee.png").save(kept / "b.png")
    (kept / "a.png").write_bytes((kept / "b.png").read_bytes())
    os.link(kept / "b.png", folder / "link.png")
    (folder / "real copy.png").write_bytes((kept / "b.png").read_bytes())
    other = Gallery(tmp_path / "other", encoder=encoder)
    other.sync([kept], calibrate=False)
    (group,) = found(folder, against=other).groups
    assert [Path(copy.path).name for copy in group.copies] == ["real copy.png"]


def test_pictures_with_companions_are_kept(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """Of two equal files the one with a RAW beside it; a copy's companions are named with it."""
    for name in ("a", "long name"):
        sample("coffee.png").save(folder / f"{name}.jpg", exif=exif())
    (folder / "long name.CR2").write_bytes(b"RAW")
    (group,) = found(folder).groups
    assert Path(group.keep).name == "long name.jpg"
    assert group.reason
    assert (group.reason.rule, group.reason.keeper) == (Rule.COMPANIONS, "long name.CR2")
    (folder / "a.xmp").write_text("<x/>")
    (group,) = found(folder).groups
    assert (Path(group.keep).name, [path.name for path in group.copies[0].companions]) == ("a.jpg", ["long name.CR2"])


def test_what_people_wrote_is_never_lost(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """Who has keywords is kept, and whose keywords or place the kept one lacks stays, whatever rule decides."""
    photo = sample("coffee.png")
    photo.save(folder / "scan.jpg", quality=85, xmp=xmp(keywords="Karl Linz"))
    photo.save(folder / "scan large.jpg", quality=97, xmp=xmp(keywords="Linz"))
    report = found(folder)
    assert names(report) == {"scan.jpg": {"scan large.jpg"}}
    assert [report.acts_on(copy) for copy in report.groups[0]] == [True]
    by_size = found(folder, rules=KeeperRules(rules=(Rule.SIZE,)))
    (copy,) = by_size.groups[0]
    assert (copy.path.name, copy.relation, copy.holds) == ("scan.jpg", "confirmed", ("keywords",))
    for only in ((), ("confirmed",)):
        assert not by_size.acts_on(copy, only)
        assert by_size.freed(by_size.groups[0], only) == 0
    assert plan_sentence(by_size) == "A plan acts on none of them; 1 with data that the kept one lacks stays."
    assert note_words(copy) == "looks re-encoded, holds keywords that the kept one lacks"
    assert [entry["holds"] for entry in dedupe_json(by_size)["groups"][0]["copies"]] == [["keywords"]]
    assert dedupe_csv(by_size).splitlines()[2].endswith(",false,keywords")


def test_a_catalogued_picture_stays_beside_the_cameras(
    folder: Path, sample: Sample, found: Callable[..., DedupeReport]
) -> None:
    """To write a place and keywords into a file is no edit of the picture, and they are not in the camera's file."""
    sample("coffee.png").save(folder / "DSC_1.jpg", quality=90, exif=exif())
    written = place()
    written.update(exif(software="digiKam-8.1.0"))
    written.get_ifd(0x8769).update(exif().get_ifd(0x8769))
    sample("coffee.png").save(folder / "catalogued.jpg", quality=90, exif=written, xmp=xmp(xmp_Rating="4"))
    report = found(folder)
    (copy,) = report.groups[0]
    assert (copy.path.name, copy.relation, copy.holds) == ("catalogued.jpg", "same-pixels", ("place", "rating"))
    assert not report.acts_on(copy)
    (folder / "catalogued.jpg").write_bytes((folder / "DSC_1.jpg").read_bytes())
    assert [copy.holds for copy in found(folder).groups[0]] == [()]


def test_a_deep_master_stays(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """A scan of 16 bits never goes for an export of 8, whatever rule decides, and is kept where all else is equal."""
    photo = sample("coffee.png")
    deep = np.asarray(photo).astype(np.uint16) * 257
    deep[:, ::2] -= np.minimum(deep[:, ::2], 90)
    cv2.imwrite(str(folder / "master.tif"), deep[..., ::-1])
    cv2.imwrite(str(folder / "master.png"), deep[..., ::-1])
    photo.save(folder / "export.png", compress_level=0)
    photo.save(folder / "export.jpg", quality=90, exif=exif())
    report = found(folder)
    assert set(names(report)) == {"export.jpg"}  # it knows when it was taken
    assert {name for name, relation in relations(report).items() if relation == "altered"} == {
        "master.tif",
        "master.png",
    }
    assert {copy.holds for copy in report.groups[0] if copy.relation == "altered"} == {("16 bits a channel",)}
    (folder / "export.jpg").unlink()
    (group,) = found(folder).groups
    assert group.reason
    assert group.keep.name.startswith("master")
    (folder / group.copies[0].path.name).unlink()
    (group,) = found(folder).groups
    assert group.reason
    assert (group.reason.rule, group.reason.keeper, group.reason.runner_up) == (Rule.DEPTH, 16, 8)


def test_a_telephones_heic_is_kept(folder: Path, sample: Sample, found: Callable[..., DedupeReport]) -> None:
    """Its export as a JPEG has all of its data and more bytes; bytes of two codecs do not compare."""
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    photo = sample("coffee.png").resize((600, 400))
    made = exif(make="Apple", model="iPhone 12")
    photo.save(folder / "IMG_1.heic", quality=50, exif=made)
    photo.save(folder / "IMG_1.jpg", quality=95, exif=made)
    (group,) = found(folder).groups
    assert (group.keep.name, relations(found(folder))) == ("IMG_1.heic", {"IMG_1.jpg": "confirmed"})
    assert reason_words(group.reason) == "the more original format: a camera's HEIF, next JPEG"
    photo.save(folder / "IMG_1.heic", quality=50)
    photo.save(folder / "IMG_1.jpg", quality=50)
    assert set(names(found(folder))) == {"IMG_1.jpg"}


def test_a_photo_with_a_palette_is_not_lossless(tmp_path: Path, sample: Sample) -> None:
    """A GIF, or a PNG of few colours, of a photo lost what its JPEG has; a drawing did not."""
    drawing = Image.new("RGB", (600, 400), "white")
    for at in range(20):
        ImageDraw.Draw(drawing).rectangle((at * 25, at * 10, at * 25 + 60, at * 10 + 40), "navy", "orange")
    expected = {}
    for name, image in (("photo", sample("coffee.png")), ("drawing", drawing)):
        for path in (tmp_path / f"{name}.gif", tmp_path / f"{name}.png"):
            image.quantize(64).save(path)
            expected[path] = name == "drawing"
        image.save(tmp_path / f"{name} with all colours.png")
        expected[tmp_path / f"{name} with all colours.png"] = True
    for path, lossless in expected.items():
        with Image.open(path) as image:
            item = Item(
                id=1,
                path=path,
                size=path.stat().st_size,
                mtime_ns=0,
                content_hash="",
                width=image.width,
                height=image.height,
                format=image.format or "",
            )
        assert is_lossless(item) is lossless, path


def test_a_name_decides_only_what_the_pictures_do_not(
    folder: Path, sample: Sample, found: Callable[..., DedupeReport]
) -> None:
    """What has more pixels is kept whatever it is called; of equals, what is not called a copy."""
    photo = sample("coffee.png").resize((600, 400))
    photo.save(folder / "beach - Kopie.jpg", quality=95)
    photo.resize((450, 300)).save(folder / "beach.jpg", quality=60)
    assert set(names(found(folder))) == {"beach - Kopie.jpg"}
    photo.save(folder / "beach.jpg", quality=93)
    assert set(names(found(folder))) == {"beach.jpg"}
