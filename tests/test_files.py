"""Finding image files and telling what changed."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from siamese_search.errors import FolderError
from siamese_search.images.files import (
    Changes,
    compare,
    count_kinds,
    find_images,
    hash_file,
    image_file,
    lies_in,
    resolve_folders,
)
from siamese_search.results import ImageFile, Item, KindCount, LeftOut, Skipped

EXTENSIONS = frozenset({".jpg", ".png"})
JPEG = b"\xff\xd8\xff\xe0 and so on"


def write(path: Path, data: bytes = b"data") -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(folder: Path) -> list[str]:
    """Return what is found under a folder, relative to it, in the order found."""
    found = find_images(resolve_folders([folder]), extensions=EXTENSIONS)
    return [str(entry.path.relative_to(folder)) for entry in found if isinstance(entry, ImageFile)]


def known(path: Path, number: int) -> Item:
    """Return a file on disk as an item of a gallery."""
    status = path.stat()
    return Item(
        id=number,
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        content_hash=hash_file(path),
        width=1,
        height=1,
        format="JPEG",
    )


def changes(folder: Path, items: list[Item]) -> Changes:
    """Compare a folder with what was known of it."""
    found = find_images(resolve_folders([folder]), extensions=EXTENSIONS)
    return compare([entry for entry in found if isinstance(entry, ImageFile)], items)


def test_the_order_is_fixed(tmp_path: Path) -> None:
    """Files come before subfolders, both by name, whatever order the disk gives."""
    for name in ("z.jpg", "b/2.png", "a.jpg", "b/1.png", "B/3.jpg", "b/c/0.jpg"):
        write(tmp_path / name)
    assert names(tmp_path) == ["a.jpg", "z.jpg", "B/3.jpg", "b/1.png", "b/2.png", "b/c/0.jpg"]


def test_only_pictures_are_found(tmp_path: Path) -> None:
    """A file counts by its extension in any case, or by how it begins; hidden and special files never."""
    write(tmp_path / "a.JPG")
    write(tmp_path / "no extension", JPEG)
    write(tmp_path / "wrong.svg", JPEG)
    write(tmp_path / "photo.heic.part", b"\0\0\0\x18ftypheic")
    write(tmp_path / "text.txt", b"a JPEG begins otherwise")
    write(tmp_path / "empty")
    write(tmp_path / ".hidden.jpg")
    write(tmp_path / ".thumbnails" / "b.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert names(tmp_path) == ["a.JPG", "no extension", "photo.heic.part", "wrong.svg"]


def test_a_hidden_folder_that_is_named_is_walked(tmp_path: Path) -> None:
    """Leaving out hidden folders is for those met on the way."""
    write(tmp_path / ".secret" / "a.jpg")
    assert names(tmp_path / ".secret") == ["a.jpg"]


def test_links_end(tmp_path: Path) -> None:
    """Links back into the folder are left out, links that lead elsewhere are followed once."""
    write(tmp_path / "in" / "sub" / "a.jpg")
    write(tmp_path / "elsewhere" / "b.jpg")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in" / "sub")
    (tmp_path / "in" / "again.jpg").symlink_to(tmp_path / "in" / "sub" / "a.jpg")
    (tmp_path / "in" / "broken.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "out twice").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "in") == ["out/b.jpg", "sub/a.jpg"]


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    """A file name is bytes; it is found and can be opened by what was found."""
    name = os.fsdecode(b"caf\xe9.jpg")
    write(tmp_path / name)
    assert names(tmp_path) == [name]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """The walk goes on, and what was missed is named."""
    write(tmp_path / "a" / "1.jpg")
    write(tmp_path / "b" / "2.jpg")
    folders = (tmp_path / "a", tmp_path / "gone", tmp_path / "b")
    found = list(find_images(folders, extensions=EXTENSIONS))
    assert [type(entry) for entry in found] == [ImageFile, Skipped, ImageFile]
    assert found[1] == Skipped(path=tmp_path / "gone", reason="folder cannot be listed: No such file or directory")


@pytest.mark.parametrize(("name", "reason"), [("missing", "no such folder"), ("file.jpg", "is a file")])
def test_wrong_folders_are_refused(tmp_path: Path, name: str, reason: str) -> None:
    """A folder that is not there stops everything before it starts, even beside good ones."""
    write(tmp_path / "file.jpg")
    with pytest.raises(FolderError, match=reason):
        resolve_folders([tmp_path, tmp_path / name])


def test_folders_within_folders_count_once(tmp_path: Path) -> None:
    """Naming a folder twice, through a link, or with one inside it, walks it once."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    given = [tmp_path / "a" / "b", tmp_path / "link", tmp_path / "ab", tmp_path / "a" / "."]
    assert resolve_folders(given) == (tmp_path / "a", tmp_path / "ab")


def test_lying_in_a_folder_is_not_sharing_its_beginning() -> None:
    """/a/bc is not in /a/b; everything is in /."""
    assert lies_in(Path("/a/b/c"), [Path("/x"), Path("/a/b")])
    assert lies_in(Path("/a/b"), [Path("/a/b")])
    assert not lies_in(Path("/a/bc"), [Path("/a/b")])
    assert lies_in(Path("/a"), [Path("/")])


def test_every_kind_of_change_is_told_apart(tmp_path: Path) -> None:
    """Unchanged, touched, changed, moved, removed and added files each end in their list."""
    items = [known(write(tmp_path / f"{n}.jpg", f"content {n}".encode()), n) for n in range(5)]
    os.utime(tmp_path / "1.jpg", (1, 1))
    write(tmp_path / "2.jpg", b"CONTENT 2")
    os.utime(tmp_path / "2.jpg", (1, 1))  # also with its old size
    (tmp_path / "sub").mkdir()
    shutil.move(tmp_path / "3.jpg", tmp_path / "sub" / "renamed.jpg")
    (tmp_path / "4.jpg").unlink()
    write(tmp_path / "5.jpg", b"new pic 5")

    found = changes(tmp_path, items)
    assert found.unchanged == [0]
    assert [(number, file.path.name) for number, file in found.touched] == [(1, "1.jpg")]
    assert [file.path.name for file in found.changed] == ["2.jpg"]
    assert [(number, file.path.name) for number, file in found.moved] == [(3, "renamed.jpg")]
    assert found.removed == [4]
    assert [file.path.name for file in found.added] == ["5.jpg"]


def test_a_copy_is_not_a_move(tmp_path: Path) -> None:
    """While the old file is still there a new one with its content is added; two moved copies keep one item each."""
    first = known(write(tmp_path / "a.jpg"), 1)
    second = known(write(tmp_path / "b.jpg"), 2)
    write(tmp_path / "c.jpg")
    assert [file.path.name for file in changes(tmp_path, [first, second]).added] == ["c.jpg"]
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "b.jpg").rename(tmp_path / "d.jpg")
    assert [number for number, _ in changes(tmp_path, [first, second]).moved] == [1, 2]


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    """Equal bytes hash alike, and the function is XXH3-128."""
    assert hash_file(write(tmp_path / "a", b"")) == "99aa06d3014798d86001c324468d497f"
    large = b"x" * (3 << 20)
    assert hash_file(write(tmp_path / "b", large)) == hash_file(write(tmp_path / "c", large))
    assert hash_file(write(tmp_path / "c", large + b"y")) != hash_file(tmp_path / "b")


def left_out(folder: Path, *exclude: str) -> list[tuple[str, str]]:
    """Return what is left out under a folder, with its kind."""
    found = find_images(resolve_folders([folder]), extensions=EXTENSIONS, exclude=exclude)
    return [(str(entry.path.relative_to(folder)), entry.kind) for entry in found if isinstance(entry, LeftOut)]


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    """Whatever lies beside the pictures is met and counted by its extension, the most frequent kind first."""
    for name in ("a.jpg", "IMG_1.cr2", "IMG_2.CR2", "clip.MP4", "Makefile", ".hidden.mp4", "sub/b.cr2"):
        write(tmp_path / name)
    expected = [("IMG_1.cr2", "CR2"), ("IMG_2.CR2", "CR2"), ("Makefile", "without extension"), ("clip.MP4", "MP4")]
    assert left_out(tmp_path) == [*expected, ("sub/b.cr2", "CR2")]
    found = find_images(resolve_folders([tmp_path]), extensions=EXTENSIONS)
    counts = count_kinds(entry for entry in found if isinstance(entry, LeftOut))
    assert counts[0] == KindCount(kind="CR2", count=3)
    assert [(entry.kind, entry.count) for entry in counts[1:]] == [("MP4", 1), ("without extension", 1)]


def test_folders_of_systems_are_left_out_and_said(tmp_path: Path) -> None:
    """Thumbnails of a NAS, recycle bins and our own trash are no pictures of anybody; one that is named is walked."""
    folders = ["#recycle", "$RECYCLE.BIN", ".Trash-1000", ".simsearch-trash", ".thumbnails", "@eaDir"]
    for folder in folders:
        write(tmp_path / folder / "x" / "a.jpg")
    write(tmp_path / "2020" / "@eaDir" / "b.jpg" / "SYNOPHOTO_THUMB_XL.jpg")
    write(tmp_path / "2020" / "b.jpg")
    assert names(tmp_path) == ["2020/b.jpg"]
    assert left_out(tmp_path) == [*((folder, folder) for folder in folders), ("2020/@eaDir", "@eaDir")]
    assert names(tmp_path / "#recycle") == ["x/a.jpg"]


def test_patterns_exclude_names_and_paths(tmp_path: Path) -> None:
    """A pattern is matched with names and with paths below the folder; what it matches is said, once for a folder."""
    for name in ("raw/a.jpg", "raw/deep/b.jpg", "c.jpg", "c_small.jpg", "2020/raw/d.jpg", "2020/e.jpg"):
        write(tmp_path / name)
    assert left_out(tmp_path, "raw", "*_small.*") == [("c_small.jpg", "*_small.*"), ("raw", "raw"), ("2020/raw", "raw")]
    assert left_out(tmp_path, "2020/*") == [("2020/e.jpg", "2020/*"), ("2020/raw", "2020/*")]
    assert left_out(tmp_path, "2020/raw/") == [("2020/raw", "2020/raw/")]
    assert left_out(tmp_path, "RAW") == []


def test_a_file_that_cannot_be_looked_into_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an extension only its content could tell what it is, so it is out of sight, with the reason."""
    write(tmp_path / "picture", JPEG)
    open_file = Path.open

    def refuse(self: Path, *arguments: object, **options: object) -> object:
        if self.name == "picture":
            raise PermissionError(13, "Permission denied")
        return open_file(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    found = list(find_images(resolve_folders([tmp_path]), extensions=EXTENSIONS))
    assert found == [Skipped(path=tmp_path / "picture", reason="cannot be read: Permission denied")]


def test_two_names_of_one_file_can_be_told(tmp_path: Path) -> None:
    """A hard link has device and inode of the other name, and both know how many names there are."""
    path = write(tmp_path / "a.jpg")
    os.link(path, tmp_path / "b.jpg")
    write(tmp_path / "c.jpg")
    first, second, other = find_images(resolve_folders([tmp_path]), extensions=EXTENSIONS)
    assert isinstance(first, ImageFile)
    assert isinstance(second, ImageFile)
    assert isinstance(other, ImageFile)
    assert (first.device, first.inode, first.links) == (second.device, second.inode, 2)
    assert (first.device, first.inode) != (other.device, other.inode)
    assert other.links == 1


@pytest.mark.parametrize("seconds", [10_413_792_000, -10_413_792_000, 1 << 40])
def test_any_time_that_a_file_system_gives_fits(tmp_path: Path, seconds: int) -> None:
    """A picture dated 2300 has a time that 64 bits of nanoseconds cannot hold: it becomes one that they can."""
    path = write(tmp_path / "a.jpg")
    with suppress(OSError, OverflowError):
        os.utime(path, (seconds, seconds))
    assert abs(image_file(path, path.stat()).mtime_ns) < 1 << 63
    assert names(tmp_path) == ["a.jpg"]
