"""What was done to `apply` and `undo` from outside, case by case: no picture is lost, and every refusal is one line."""

import errno
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xxhash
from PIL import Image

from conftest import Planned
from siamese_search.actions import Plan, Step, apply_plan, plan_json, read_plan, system, undo_journal, write_plan
from siamese_search.actions.foresee import rehearse
from siamese_search.actions.lines import Head
from siamese_search.actions.locks import only_actor
from siamese_search.actions.plan import seal
from siamese_search.duplicates.find import find_duplicates
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.errors import GalleryError, PlanError
from siamese_search.gallery import Gallery
from siamese_search.images.files import hash_file
from siamese_search.results import Action, ActionReport, Rule
from stepping import RUN, Disk, Killed, World, contents, standing_in_the_door, tree

SOMEBODY = 12_345


@pytest.fixture
def world(swift_path: Path) -> World:
    """Give a world whose copy goes to the trash."""
    return World(swift_path, Action.TRASH)


def reasons(report: ActionReport) -> list[str]:
    """Return why files were refused."""
    return [refused.reason for refused in report.refused]


# -- journals that are none, or damaged


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff\xe0 a photo\n with a line\n and no end",
        b'{"simsearch": "plan", "format": 1, "steps": []}',
        b'{"simsearch": "journal"}\n no more',
        b"",
        b"\n\n\n",
    ],
)
def test_what_is_no_journal_is_never_changed(content: bytes, tmp_path: Path) -> None:
    """Undo looks at a file before it opens it for writing."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(PlanError, match="not a journal"):
        undo_journal(path)
    assert path.read_bytes() == content


def test_what_is_no_file_is_no_journal(tmp_path: Path) -> None:
    """A folder, and a FIFO that nobody writes to, end in one line and at once."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "missing"):
        with pytest.raises(PlanError):
            undo_journal(path)
    with pytest.raises(PlanError):
        read_plan(tmp_path / "fifo")


def test_flipped_bits(world: World) -> None:
    """A line with a flipped bit is named and passed over; no file goes anywhere but to its place."""
    before = tree(world.root)
    assert world.apply().refused == ()
    whole = world.journal.read_bytes()
    after, everything = tree(world.root), contents(world.root)
    restored = 0
    for number in range(0, 8 * len(whole), 8 * len(whole) // 400):
        place, bit = divmod(number, 8)
        world.journal.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with suppress(PlanError):
            report = world.undo()
            assert all("is damaged" in reason for reason in reasons(report))
            restored += bool(report.done)
        assert tree(world.root) in (before, after)
        assert contents(world.root) == everything
        if tree(world.root) == before:
            world.journal.unlink()
            world.apply()
    assert restored > 350  # one line is damaged, and there are two heads and two lines of the step
    world.journal.write_bytes(whole)
    assert world.undo().refused == ()
    assert tree(world.root) == before


def test_resealed_journals_reach_nothing_else(swift_path: Path) -> None:
    """Whatever a journal says with right checksums, nothing but the files of its step is made, moved or removed."""
    world = World(swift_path / "world", Action.MOVE)
    world.apply()
    lines = [json.loads(line) for line in world.journal.read_bytes().splitlines()]
    after, everything = tree(world.folder), contents(world.root) | contents(world.into)
    values = ["/", "/etc", "..", "../..", "", "a\0b", "/" * 3, -1, 0, 7, 1 << 70, 1.5, None, True, [], {}, "\ud800"]
    values += [
        str(world.folder),
        str(world.root),
        str(world.into),
        "sub",
        "sub/copy.xmp",
        "keep.jpg",
        "trash",
        "hardlink",
    ]
    for path in paths_in(lines[0]) | paths_in(lines[3]):
        for value in values:
            mutated = [put(line, path, value) for line in lines]
            world.journal.write_bytes(b"".join(map(sealed, mutated)))
            with suppress(PlanError):
                world.undo()
            now = tree(world.folder)
            assert everything <= contents(world.folder)
            places = {name for name in now if name not in after} - {"root/sub/copy.jpg", "root/sub/copy.xmp"}
            assert not places, f"{path}: {value!r}"
            world.journal.unlink()
            shutil.rmtree(world.folder)
            world = World(swift_path / "world", Action.MOVE)
            world.apply()


def paths_in(data: Any, before: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """Return the ways to all values in nested data."""
    if isinstance(data, dict | list) and data:
        keys = data.keys() if isinstance(data, dict) else range(len(data))
        return {before} | {way for key in keys for way in paths_in(data[key], (*before, key))} - {()}
    return {before}


def put(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of nested data in which a value is another, where there is one."""
    if not path:
        return value
    copy = json.loads(json.dumps(data))
    inner = copy
    with suppress(KeyError, IndexError, TypeError):  # there is none
        for key in path[:-1]:
            inner = inner[key]
        _ = inner[path[-1]]
        inner[path[-1]] = value
    return copy


def sealed(data: Any) -> bytes:
    """Return a line with the checksum that it should have."""
    if not isinstance(data, dict):
        return json.dumps(data).encode() + b"\n"
    rest = json.dumps({key: value for key, value in data.items() if key != "sum"}).encode()[1:]
    return b'{"sum": "%s", ' % xxhash.xxh3_64_hexdigest(rest).encode() + rest + b"\n"


def test_a_full_disk_under_the_journal(world: World) -> None:
    """What cannot be announced is not done, and said; what was done until then can be undone."""
    before = tree(world.root)
    is_full = False

    def fill(function: Callable[..., Any], arguments: tuple[Any, ...], _options: dict[str, Any]) -> None:
        if is_full and function is os.pwrite:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        del arguments

    is_full = True
    with standing_in_the_door(fill), pytest.raises(PlanError, match="No space left"):
        world.apply()
    assert tree(world.root) == before
    is_full = False
    world.apply()
    is_full = True
    with standing_in_the_door(fill):
        report = world.undo()
    assert (len(report.done), report.refused) == (1, ())
    assert "journal cannot be written: No space left" in report.note
    assert tree(world.root) == before


# -- places


def test_two_roots_of_one_name(swift_path: Path) -> None:
    """Two files of equal bytes and equal paths below roots of one name go to two places, and both come back."""
    world = World(swift_path, Action.MOVE)
    roots = [swift_path / which / "photos" for which in "ab"]
    steps = []
    for root in roots:
        root.mkdir(parents=True)
        (root / "x.jpg").write_bytes(b"twice")
        hashes = {"copy_hash": hash_file(root / "x.jpg"), "keep_hash": hash_file(world.keep)}
        steps.append(Step(copy=root / "x.jpg", keep=world.keep, **hashes))
    world.steps = steps
    world.root_of = lambda path: path.parent  # type: ignore[method-assign]
    assert world.apply().refused == ()
    assert sorted(path.read_bytes() for path in world.into.rglob("*.jpg")) == [b"twice", b"twice"]
    assert world.undo().refused == ()
    assert [(root / "x.jpg").read_bytes() for root in roots] == [b"twice", b"twice"]


def test_equal_bytes_in_the_old_place(world: World) -> None:
    """Undo leaves the file in the trash, and names it, though an equal one is where it was."""
    world.apply()
    world.copy.write_bytes(b"the copy")
    (reason,) = reasons(world.undo())
    assert reason == f"another file is in its place now; what was there is at: {world.target}"
    assert stat.S_IMODE(world.target.stat().st_mode) == 0o640
    world.copy.unlink()
    assert world.undo().refused == ()
    assert stat.S_IMODE(world.copy.stat().st_mode) == 0o640


def test_a_drive_that_is_away(swift_path: Path) -> None:
    """Where a drive was there is an empty folder: nothing is restored into it; when it is back, all is."""
    world = World(swift_path, Action.MOVE)
    before = tree(world.root)
    world.apply()
    world.root.rename(swift_path / "unplugged")
    (reason,) = reasons(world.undo())
    assert "cannot be opened" in reason or "is gone" in reason
    assert not world.root.exists()
    world.root.mkdir()
    (reason,) = reasons(world.undo())
    assert reason.startswith("the folder it lay in is another now; is its drive connected?")
    assert not any(world.root.iterdir())
    world.root.rmdir()
    (swift_path / "unplugged").rename(world.root)
    assert world.undo().refused == ()
    assert tree(world.root) == before


def test_a_root_on_a_new_drive(swift_path: Path) -> None:
    """A root that was copied to another drive is known by its keeper."""
    world = World(swift_path, Action.MOVE)
    before = tree(world.root)
    world.apply()
    shutil.copytree(world.root, swift_path / "copied")
    shutil.rmtree(world.root)
    (swift_path / "copied").rename(world.root)
    assert world.undo().refused == ()
    assert tree(world.root).keys() == before.keys()


@pytest.mark.parametrize("action", [Action.TRASH, Action.MOVE])
def test_nothing_is_more_open_than_it_was(action: Action, swift_path: Path) -> None:
    """Folders of the trash are as closed as those that the files came from; missing folders are made as they were."""
    world = World(swift_path, action)
    world.root.chmod(0o700)
    world.copy.parent.chmod(0o710)
    world.apply()
    top = world.into if action is Action.MOVE else world.root
    made = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in top.rglob("*")
        if path.is_dir() and path != world.copy.parent
    }
    assert made.pop("sub") == 0o710
    assert set(made.values()) == {0o700}
    world.copy.parent.rmdir()
    world.undo()
    assert stat.S_IMODE(world.copy.parent.stat().st_mode) == 0o710


def test_nothing_is_reachable_that_was_not(swift_path: Path) -> None:
    """A folder that is open, but in one that is closed, is closed where it is moved to."""
    world = World(swift_path / "closed" / "world", Action.MOVE)
    (swift_path / "closed").chmod(0o700)
    world.into = swift_path / "into"
    world.root.chmod(0o755)
    world.apply()
    assert stat.S_IMODE((world.into / RUN).stat().st_mode) == 0o700


# -- the keeper


def test_killed_half_way_and_then_the_keeper_is_gone(world: World) -> None:
    """A step that goes on after a kill is checked like any other: without its keeper the copy stays."""
    disk = Disk(world, renames=False)

    def kill(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        if function is os.unlink and "held" in str(arguments[0]) and world.target.exists():
            raise Killed
        disk(function, arguments, options)

    with suppress(Killed), standing_in_the_door(kill):
        world.apply()
    assert world.target.exists()
    world.keep.unlink()
    with standing_in_the_door(disk):
        (reason,) = reasons(world.apply())
    assert reason.startswith("its keeper is gone")
    assert world.copy.read_bytes() == b"the copy"


@contextmanager
def pooled(seen: str) -> Iterator[None]:
    """Let a folder `pool` be another mount of `root`, which gives its files other numbers or the same."""
    of_the_pool: set[int] = set()

    def through(_: system.Door, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        is_pool = function is os.open and (arguments[0] == "pool" or options.get("dir_fd") in of_the_pool)
        if is_pool and arguments[0] == "pool":
            arguments = ("root", *arguments[1:])
        if function in {os.lstat, os.open} and "/pool/" in str(arguments[0]):
            is_pool = True
            arguments = (str(arguments[0]).replace("/pool/", "/root/"), *arguments[1:])
        result = function(*arguments, **options)
        if function is os.open:
            of_the_pool.discard(result)
        if is_pool and function is os.open:
            of_the_pool.add(result)
        is_status = function is os.fstat and arguments[0] in of_the_pool
        if (is_status or (is_pool and function is os.lstat)) and seen == "other numbers":
            numbers = list(result)
            numbers[1], numbers[2] = numbers[1] + 1000, numbers[2] + 1
            return os.stat_result(numbers)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system.Door, "__call__", through)
        yield


@pytest.mark.parametrize("seen", ["other numbers", "same numbers"])
def test_a_protected_folder_under_two_names(seen: str, swift_path: Path) -> None:
    """What is protected by one path is not taken by another."""
    world = World(swift_path, Action.TRASH)
    world.protected = (swift_path / "pool",)
    before = tree(world.root)
    with pooled(seen):
        (reason,) = reasons(world.apply())
    assert reason == f"is the same file as one in a protected folder: {swift_path}/pool/sub/copy.jpg"
    assert tree(world.root) == before
    shutil.copytree(world.root, swift_path / "backup")
    world.protected = (swift_path / "backup",)
    assert world.apply().refused == ()


@pytest.mark.parametrize("seen", ["other numbers", "same numbers"])
def test_one_folder_under_two_names(seen: str, swift_path: Path) -> None:
    """Where a copy and its keeper are one file behind two mounts, it stays, whatever the mounts say of it."""
    world = World(swift_path, Action.TRASH)
    world.steps = [
        Step(
            copy=world.copy,
            copy_hash=world.steps[0].copy_hash,
            keep=swift_path / "pool" / "sub" / "copy.jpg",
            keep_hash=world.steps[0].copy_hash,
        )
    ]
    before = tree(world.root)
    with pooled(seen):
        (reason,) = reasons(world.apply())
    assert reason.startswith("is the same file" if seen == "same numbers" else "its keeper is gone")
    assert tree(world.root) == before


@pytest.mark.skipif(shutil.which("bindfs") is None or os.geteuid() != 0, reason="needs bindfs and root")
def test_one_folder_under_two_real_mounts(tmp_path: Path) -> None:
    """The same with a mount of a file system in user space."""
    world = World(tmp_path, Action.TRASH)
    pool = tmp_path / "pool"
    pool.mkdir()
    if subprocess.run(["bindfs", "--no-allow-other", world.root, pool], check=False, capture_output=True).returncode:
        pytest.skip("no file systems in user space here")
    try:
        content = world.steps[0].copy_hash
        world.steps = [Step(copy=world.copy, copy_hash=content, keep=pool / "sub" / "copy.jpg", keep_hash=content)]
        before = tree(world.root)
        (reason,) = reasons(world.apply())
        assert "same file" in reason
        assert tree(world.root) == before
    finally:
        subprocess.run(["umount", pool], check=True)


def test_hard_links_are_no_steps(world: World) -> None:
    """A copy that is a name of its keeper, or of any other file, stays: nothing is gained."""
    os.link(world.copy, world.root / "other.jpg")
    (reason,) = reasons(world.apply())
    assert reason == "is one of several names of a file (hard links): nothing to gain"
    world.copy.unlink()
    os.link(world.keep, world.copy)
    world.steps = [
        Step(copy=world.copy, copy_hash=world.steps[0].keep_hash, keep=world.keep, keep_hash=world.steps[0].keep_hash)
    ]
    assert reasons(world.apply()) == ["is the same file on disk as its keeper: nothing to gain"]


@pytest.mark.parametrize("lost", ["renamed", "removed"])
def test_undo_of_a_link_without_its_keeper(lost: str, swift_path: Path) -> None:
    """Restored means a file of its own, with its own mode and time, wherever its keeper is by now."""
    world = World(swift_path, Action.HARDLINK, same=True)
    before = tree(world.root)
    world.apply()
    assert world.copy.samefile(world.keep)
    if lost == "renamed":
        world.keep.rename(world.root / "elsewhere.jpg")
    else:
        world.keep.unlink()
    assert world.undo().refused == ()
    assert tree(world.root)["sub/copy.jpg"] == before["sub/copy.jpg"]


@pytest.mark.parametrize("action", [Action.TRASH, Action.MOVE, Action.HARDLINK])
def test_any_name(action: Action, swift_path: Path) -> None:
    """A name may be as long as names can be, and hold what is no text: it goes and comes back like any other."""
    world = World(swift_path, action, same=True)
    for name in (b"\xff\n\x1b\r\t.jpg", b"a" * 251 + b".jpg"):
        path = world.copy.with_name(os.fsdecode(name))
        shutil.copy2(world.copy, path)
        world.steps.append(replace(world.steps[0], copy=path, companions=()))
    before = tree(world.root)
    assert world.apply().refused == ()
    assert tree(world.root) != before
    assert world.undo().refused == ()
    assert tree(world.root) == before


# -- several actors


def test_one_actor_at_a_time(world: World) -> None:
    """Who acts in a folder keeps out whoever wants to act in it, in one around it, or in one inside it."""
    before = tree(world.root)
    for folder in (world.root, world.root.parent, world.copy.parent):
        with only_actor([folder]), pytest.raises(PlanError, match="another simsearch acts in this folder"):
            world.apply()
    with only_actor([world.folder / "elsewhere"]):
        assert tree(world.root) == before
        assert world.apply().refused == ()
    with only_actor([world.copy.parent]), pytest.raises(PlanError, match="another simsearch"):
        world.undo()
    assert world.undo().refused == ()


def test_one_actor_at_a_time_without_locks_of_folders(world: World) -> None:
    """Where a file system locks no folders, a file in them is locked, and removed afterwards."""

    def fail(function: Callable[..., Any], arguments: tuple[Any, ...], _options: dict[str, Any]) -> None:
        if function is fcntl.flock and stat.S_ISDIR(os.fstat(arguments[0]).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    before = tree(world.root)
    with standing_in_the_door(fail):
        with only_actor([world.root]), pytest.raises(PlanError, match="another simsearch"):
            world.apply()
        assert tree(world.root) == before
        assert world.apply().refused == ()
        assert world.undo().refused == ()
    assert tree(world.root) == before


def test_a_lock_ends_with_its_process(world: World) -> None:
    """An actor that was killed keeps nobody out."""
    code = "import sys, time; from pathlib import Path; from siamese_search.actions.locks import only_actor\n"
    code += "with only_actor([Path(sys.argv[1])]): print(flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, world.root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(PlanError, match="another simsearch"):
            world.apply()
        holder.kill()
    assert world.apply().refused == ()


# -- an ordinary user


@contextmanager
def somebody() -> Iterator[None]:
    """Act as an ordinary user while inside."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(SOMEBODY)
    os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def give(folder: Path) -> None:
    """Give a folder and all in it to the ordinary user, where that is another one."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, SOMEBODY, SOMEBODY)


@pytest.mark.parametrize("disk", [{}, {"renames": False}, {"is_other": True}])
def test_a_folder_that_may_not_be_written(disk: dict[str, bool], swift_path: Path) -> None:
    """A copy in it is refused in one line and nothing is left behind; the other steps are done, and undone."""
    swift_path.chmod(0o755)
    world = World(swift_path / "world", Action.MOVE if disk.get("is_other") else Action.TRASH)
    second = world.root / "second" / "copy.jpg"
    second.parent.mkdir()
    shutil.copy2(world.copy, second)
    world.steps.append(
        Step(copy=second, copy_hash=world.steps[0].copy_hash, keep=world.keep, keep_hash=world.steps[0].keep_hash)
    )
    give(world.folder)
    world.copy.parent.chmod(0o555)
    before = tree(world.root)
    with somebody(), standing_in_the_door(Disk(world, **disk)):
        report = world.apply()
        assert report.done == (second,)
        assert reasons(report) == ["cannot be changed: Permission denied"]
        assert world.copy.exists()
        assert not [path for path in world.folder.rglob("*copy*") if path.name not in {"copy.jpg", "copy.xmp"}]
        assert reasons(world.apply()) == ["cannot be changed: Permission denied"]
        assert world.undo().refused == ()
        (foreseen,) = reasons(rehearsed(world))
        assert foreseen == "lies in a folder that may not be written"
    assert tree(world.root) == before
    world.copy.parent.chmod(0o755)


def rehearsed(world: World) -> ActionReport:
    """Return what an apply would do."""
    into = world.into if world.action is Action.MOVE else None
    head = Head(action=world.action, gallery="/none", run=RUN, into=into, roots=())
    return rehearse(world.steps, world, head, world.folder / "new.journal")


def test_no_room_is_foreseen(swift_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be copied to another disk must have room there, all together; what stays on its disk needs none."""
    world = World(swift_path, Action.MOVE)
    room = os.statvfs_result((1, 1, 100, 20, 20, 0, 0, 0, 0, 255))  # 20 bytes
    monkeypatch.setattr("siamese_search.actions.foresee.os.statvfs", lambda _: room)
    assert reasons(rehearsed(world)) == []
    monkeypatch.setattr("siamese_search.actions.foresee.device_of", lambda _: -1)
    assert reasons(rehearsed(world)) == []  # 19 bytes
    world.steps.append(replace(world.steps[0], copy=world.sidecar, copy_hash=hash_file(world.sidecar), companions=()))
    assert reasons(rehearsed(world)) == [f"there is no room for it at: {world.into}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of somebody else")
def test_files_of_others_in_a_sticky_folder(swift_path: Path) -> None:
    """In a folder where only owners remove files, those of others are refused, and stay."""
    swift_path.chmod(0o755)
    world = World(swift_path / "world", Action.TRASH)
    give(world.folder)
    world.copy.parent.chmod(0o1777)
    for path in (world.copy, world.copy.parent):
        os.chown(path, 0, 0)
    world.copy.chmod(0o644)
    before = tree(world.root)
    with somebody():
        assert reasons(rehearsed(world)) == ["belongs to somebody else, in a folder where only owners may remove files"]
        assert reasons(world.apply()) == ["cannot be changed: Operation not permitted"]
    assert tree(world.root) == before


# -- with a gallery


@pytest.fixture
def photos(planned: Planned) -> Path:
    """Give six photos and their three copies."""
    return planned.photos


@pytest.fixture
def gallery(planned: Planned) -> Gallery:
    """Give the gallery that knows them."""
    return planned.gallery


@pytest.fixture
def plan(planned: Planned) -> Path:
    """Give the plan of all three groups."""
    return planned.plan


def test_a_busy_gallery_at_the_end(plan: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done is said all the same, and where its journal is."""

    def busy(*_: object) -> None:
        raise GalleryError("busy, somebody is writing to it")

    monkeypatch.setattr(Gallery, "refresh", busy)
    report = apply_plan(plan, action=Action.TRASH)
    assert (len(report.done), report.journal) == (3, plan.with_suffix(".journal"))
    assert "busy" in report.note
    monkeypatch.undo()
    undone = undo_journal(plan.with_suffix(".journal"))
    assert (len(undone.done), undone.note) == (3, "")
    assert len(gallery) == 9


def test_a_rehearsal_changes_nothing(plan: Path, gallery: Gallery) -> None:
    """Not even the folder to move to is made; a step that is named twice counts as it would when applied."""
    gallery.close()
    home = plan.parent
    before = tree(home)
    report = apply_plan(plan, action=Action.MOVE, into=home / "new" / "place", dry_run=True)
    assert len(report.done) == 3
    data = json.loads(plan.read_text())
    data["steps"].append(data["steps"][0])
    plan.write_text(json.dumps(data))
    for action, into in ((Action.MOVE, home / "new"), (Action.TRASH, None)):
        assert reasons(apply_plan(plan, action=action, into=into, dry_run=True)) == ["is named twice in the plan"]
    assert tree(home) | {"plan.json": before["plan.json"]} == before


def test_links_are_not_planned(gallery: Gallery, photos: Path) -> None:
    """A picture that is a name of another one's file, or a link to a file elsewhere, is no step: nothing is gained."""
    os.link(photos / "rocket.png", photos / "copies" / "rocket again.png")
    outside = photos.parent / "outside.png"
    outside.write_bytes((photos / "camera.png").read_bytes())
    (photos / "copies" / "camera again.png").symlink_to(outside)
    gallery.sync([photos])
    steps = plan_json(find_duplicates(gallery, threshold=0.3), gallery)["steps"]
    named = {Path(step["copy"]).name for step in steps}
    assert len(named) >= 3
    assert not named & {"rocket again.png", "rocket.png", "camera again.png"}


def test_a_gallery_that_is_gone(plan: Path, gallery: Gallery) -> None:
    """Undo restores all files and makes no new gallery."""
    apply_plan(plan, action=Action.TRASH)
    gallery.close()
    shutil.rmtree(gallery.location)
    report = undo_journal(plan.with_suffix(".journal"))
    assert len(report.done) == 3
    assert "gallery is gone" in report.note
    assert not Path(gallery.location).exists()


def test_companions(plan: Path, photos: Path) -> None:
    """What a plan names beside a copy goes along and comes back; nothing else can be named there."""
    data = json.loads(plan.read_text())
    step = next(step for step in data["steps"] if step["relation"] == "identical")
    copy = Path(step["copy"])
    sidecar = copy.with_suffix(".xmp")
    sidecar.write_text("sidecar")
    before = tree(photos)

    def apply_with(path: Path) -> ActionReport:
        step["companions"] = [{"path": str(path), "hash": hash_file(path)}]
        plan.write_text(json.dumps({**data, "steps": [step]}))
        return apply_plan(plan, action=Action.TRASH)

    for other in (photos / "rocket.png", copy, photos / "coffee.png", plan):
        assert "go along" in reasons(apply_with(other))[0]
    assert apply_with(sidecar).done == (copy,)
    assert not sidecar.exists()
    assert undo_journal(plan.with_suffix(".journal")).refused == ()
    assert tree(photos) == before


def test_a_plan_names_what_belongs_to_a_copy(planned: Planned) -> None:
    """A sidecar goes with its picture into the trash, and comes back with it."""
    for name in ("chelsea.xmp", "copies/chelsea again.xmp"):
        (planned.photos / name).write_text(name)
    before = tree(planned.photos)
    report = find_duplicates(planned.gallery)
    planned.plan.unlink()
    write_plan(planned.plan, report, planned.gallery)
    steps = {Path(step["copy"]).stem: step["companions"] for step in json.loads(planned.plan.read_text())["steps"]}
    (stem,) = [stem for stem in steps if stem.startswith("chelsea")]
    (along,) = steps[stem]
    assert Path(along["path"]).stem == stem
    apply_plan(planned.plan, action=Action.TRASH)
    assert not Path(along["path"]).exists()
    assert undo_journal(planned.plan.with_suffix(".journal")).refused == ()
    assert tree(planned.photos) == before


def test_a_shared_companion_goes_with_the_last(planned: Planned) -> None:
    """A clip of two pictures stays while one of them does, and goes, and comes back, with the second of both."""
    first, second = planned.photos / "copies" / "x.png", planned.photos / "copies" / "x.bmp"
    clip = first.with_suffix(".mov")
    with Image.open(planned.photos / "rocket.png") as image:
        for path in (first, second):
            image.save(path)
    clip.write_bytes(b"a clip")
    planned.gallery.sync([planned.photos], calibrate=False)
    before = tree(planned.photos)
    report = find_duplicates(planned.gallery, rules=KeeperRules(rules=(Rule.SHORTEST_PATH,)))
    assert {path.name for group in report for copy in group for each in copy.shared for path in each.pictures} == {
        "x.png",
        "x.bmp",
    }
    planned.plan.unlink()
    write_plan(planned.plan, report, planned.gallery)
    data = json.loads(planned.plan.read_text())
    steps = [step for step in data["steps"] if Path(step["copy"]).stem == "x"]
    assert [[along["path"] for along in step["companions"]] for step in steps] == [[], [str(clip)]]
    planned.plan.write_text(json.dumps({**data, "steps": steps[1:]}))
    other = Path(steps[0]["copy"]).name
    assert reasons(apply_plan(planned.plan, action=Action.TRASH))[0].startswith(
        f"what is to go along belongs to {other} as well"
    )
    planned.plan.with_suffix(".journal").unlink()
    planned.plan.write_text(json.dumps({**data, "steps": steps}))
    assert apply_plan(planned.plan, action=Action.TRASH, dry_run=True).refused == ()
    assert len(apply_plan(planned.plan, action=Action.TRASH).done) == 2
    assert not clip.exists()
    assert undo_journal(planned.plan.with_suffix(".journal")).refused == ()
    assert tree(planned.photos) == before


def test_resealed_plans(plan: Path, photos: Path) -> None:
    """Whatever a plan says with a right seal, it is refused in one line, or its steps are."""
    data = json.loads(plan.read_text())
    values = ["/", "..", "", "a\0b", -1, 1 << 70, 1.5, None, True, [], [1], {}, {"a": 1}, "\ud800", float("nan")]
    for path in paths_in({**data, "steps": data["steps"][:1]}):
        for value in values:
            mutated = put(data, path, value)
            if isinstance(mutated, dict):
                mutated["seal"] = seal({key: item for key, item in mutated.items() if key not in {"seal", "steps"}})
            plan.write_text(json.dumps(mutated))
            with suppress(PlanError):
                assert isinstance(read_plan(plan), Plan)
    assert len(tree(photos)) == 10


# -- journals of an older version


@pytest.mark.parametrize("action", [Action.TRASH, Action.MOVE, Action.HARDLINK])
@pytest.mark.parametrize("state", ["begin", "done", "undoing"])
def test_older_journals(action: Action, state: str, swift_path: Path) -> None:
    """A journal of format 1 is undone as its own version would have, and by a second undo not again."""
    world = World(swift_path, action, same=action is Action.HARDLINK)
    before = tree(world.root)
    status = world.copy.lstat()
    target = "" if action is Action.HARDLINK else str(world.target)
    step = {
        "event": "begin",
        "copy": str(world.copy),
        "keep": str(world.keep),
        "target": target,
        "content_hash": world.steps[0].copy_hash,
        "size": status.st_size,
        "mode": status.st_mode,
        "mtime_ns": status.st_mtime_ns,
    }
    head = {"simsearch": "journal", "format": 1, "action": action, "gallery": "/none", "run": RUN}
    lines = [{**head, "into": str(world.into) if action is Action.MOVE else None}, {"event": "apply"}, step]
    if state != "begin":
        lines += [{"event": state, "copy": str(world.copy)}]
    world.journal.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"event": "to')
    if target:
        world.target.parent.mkdir(parents=True)
        world.copy.rename(world.target)
    else:
        world.copy.unlink()
        os.link(world.keep, world.copy)
    report = world.undo()
    assert (report.done, report.refused) == ((world.copy,), ())
    assert tree(world.root) == before
    assert world.undo().done == ()
    assert b'"format": 1' in world.journal.read_bytes()


def test_older_journals_that_contradict_themselves(swift_path: Path) -> None:
    """Where the places of a file do not belong together, the line is damaged: nothing goes to an invented place."""
    world = World(swift_path, Action.TRASH)
    world.apply()
    head = {"simsearch": "journal", "format": 1, "action": "trash", "gallery": "/none", "run": RUN, "into": None}
    step = {"event": "begin", "copy": str(world.copy.with_name("invented.jpg")), "keep": str(world.keep)}
    step |= {
        "target": str(world.target),
        "content_hash": world.steps[0].copy_hash,
        "size": 1,
        "mode": 0o644,
        "mtime_ns": 1,
    }
    world.journal.write_text("".join(json.dumps(line) + "\n" for line in (head, step)))
    assert reasons(world.undo()) == ["line 2 is damaged: what it says cannot be taken back"]
    assert world.target.exists()


@pytest.mark.skipif(not Path("/proc/self/root").is_dir(), reason="no second name of a folder to be had here")
def test_one_folder_by_two_names_does_not_keep_itself_out(tmp_path: Path) -> None:
    """As by two mounts: it is one folder, locked once, and still for one actor."""
    again = Path("/proc/self/root", *tmp_path.parts[1:])
    (tmp_path / "below").mkdir()
    with only_actor([tmp_path, again]), pytest.raises(PlanError, match="acts in this folder"), only_actor([tmp_path]):
        raise AssertionError
    with only_actor([again, tmp_path / "below"]):
        pass
