"""Acting on a plan and taking it back: nothing is lost, nothing is done that was not checked."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Planned, Run
from siamese_search.actions import apply_plan, plan_json, read_plan, undo_journal
from siamese_search.duplicates.find import find_duplicates
from siamese_search.duplicates.keeper import KeeperRules
from siamese_search.encoder import Encoder
from siamese_search.errors import OptionError, PlanError
from siamese_search.gallery import Gallery
from siamese_search.results import Action, ActionReport, Rule

NEAR = 0.3
COPIES = {"copies/astronaut bright.jpg", "copies/chelsea again.png", "coffee.png"}
Tree = dict[str, tuple[bytes, int, int]]


def tree(folder: Path) -> Tree:
    """Return every file that is not hidden with its bytes, mode and time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("."):
            status = path.stat()
            found[name] = (path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_mtime_ns)
    return found


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


Act = Callable[..., ActionReport]


@pytest.fixture
def act(plan: Path) -> Act:
    """Give a function that applies the plan as it is on disk."""

    def apply(action: Action = Action.TRASH, **options: Any) -> ActionReport:
        return apply_plan(read_plan(plan), action=action, journal=plan.with_suffix(".journal"), **options)

    return apply


def edit(plan: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a plan as a person with an editor would."""
    data = json.loads(plan.read_text())
    change(data)
    plan.write_text(json.dumps(data))


def test_trash_and_back(act: Act, photos: Path, plan: Path, gallery: Gallery, encoder: Encoder) -> None:
    """Copies go to the trash, the gallery forgets them; undo brings back the same tree and the gallery knows it."""
    before = tree(photos)
    items = {item.path: item.content_hash for item in gallery.items()}
    report = act()
    assert {str(Path(path).relative_to(photos)) for path in report.done} == COPIES
    assert (report.refused, report.already) == ((), 0)
    assert tree(photos) == {name: entry for name, entry in before.items() if name not in COPIES}
    (place,) = report.places
    assert {path.relative_to(place).as_posix() for path in Path(place).rglob("*") if path.is_file()} == COPIES
    assert len(gallery) == 6
    assert find_duplicates(gallery, threshold=NEAR).groups == ()

    undone = undo_journal(plan.with_suffix(".journal"))
    assert (len(undone.done), undone.refused, undone.note) == (3, (), "")
    assert tree(photos) == before
    assert not (photos / ".simsearch-trash").exists()
    again = Gallery(gallery.location, encoder=encoder)
    assert {item.path: item.content_hash for item in again.items()} == items
    assert len(find_duplicates(again, threshold=NEAR).groups) == 3


def test_applying_and_undoing_again_does_nothing(act: Act, photos: Path, plan: Path) -> None:
    """A second apply finds everything done, a second undo everything restored; a later apply acts again."""
    before = tree(photos)
    act()
    after = tree(photos)
    again = act()
    assert (again.done, again.already) == ((), 3)
    assert tree(photos) == after
    undo_journal(plan.with_suffix(".journal"))
    assert undo_journal(plan.with_suffix(".journal")).done == ()
    assert tree(photos) == before
    assert len(act().done) == 3


def test_dry_run_changes_nothing(act: Act, photos: Path, plan: Path, gallery: Gallery) -> None:
    """Everything is checked and named, nothing is touched, no journal is written."""
    before = tree(photos)
    report = act(dry_run=True)
    assert (len(report.done), report.journal) == (3, None)
    assert tree(photos) == before
    assert not plan.with_suffix(".journal").exists()
    assert len(gallery) == 9


def other_disks() -> Iterator[str]:
    """Name a writable folder on another disk than the temporary one, where there is one."""
    here = Path("/tmp").stat().st_dev  # noqa: S108
    shm = Path("/dev/shm")  # noqa: S108
    if shm.is_dir() and os.access(shm, os.W_OK) and shm.stat().st_dev != here:
        yield str(shm)


@pytest.mark.parametrize("disk", [None, *other_disks()])
def test_move_and_back(act: Act, photos: Path, plan: Path, tmp_path: Path, disk: str | None) -> None:
    """Copies move to another folder, on another disk as well, with their times; undo brings them back."""
    into = tmp_path / "away" if disk is None else Path(disk) / f"simsearch-test-{os.getpid()}"
    before = tree(photos)
    try:
        report = act(Action.MOVE, into=into)
        assert len(report.done) == 3
        moved = tree(Path(report.places[0]) / "photos")
        assert moved == {name: before[name] for name in COPIES}
        undo_journal(plan.with_suffix(".journal"))
        assert tree(photos) == before
    finally:
        subprocess.run(["rm", "-rf", into], check=True)


def test_move_needs_a_place_outside(act: Act, photos: Path) -> None:
    """Without a place, or with one inside the gallery's folders, nothing begins."""
    with pytest.raises(OptionError, match="--into"):
        act(Action.MOVE)
    with pytest.raises(OptionError, match="would be found again"):
        act(Action.MOVE, into=photos / "away")
    with pytest.raises(OptionError, match="--into"):
        act(Action.TRASH, into=photos / "away")


def test_hardlink_and_back(act: Act, photos: Path, plan: Path, gallery: Gallery) -> None:
    """Only identical files become hard links; undo makes them files of their own with mode and time as before."""
    copy, keep = photos / "copies" / "chelsea again.png", photos / "chelsea.png"
    copy.chmod(0o640)
    os.utime(copy, ns=(1_000_000_000_123, 1_000_000_000_123))
    before = tree(photos)
    report = act(Action.HARDLINK)
    assert report.done == (copy,)
    assert {refused.reason for refused in report.refused} == {"only identical files can be made a hardlink"}
    assert copy.samefile(keep)
    assert gallery.sync([photos]).unchanged == 9
    again = act(Action.HARDLINK, dry_run=True)
    assert (again.done, again.already) == ((), 1)
    undo_journal(plan.with_suffix(".journal"))
    assert not copy.samefile(keep)
    assert tree(photos) == before


def test_reflink_where_the_disk_can(act: Act, photos: Path, plan: Path) -> None:
    """Blocks are shared, or the refusal says that this file system cannot; the bytes stay either way."""
    before = tree(photos)
    report = act(Action.REFLINK)
    refused = read_refusals(report)
    copy = photos / "copies" / "chelsea again.png"
    assert report.done == (copy,) or refused[copy].startswith("cannot be changed")
    assert {name: entry[0] for name, entry in tree(photos).items()} == {
        name: entry[0] for name, entry in before.items()
    }
    undo_journal(plan.with_suffix(".journal"))
    assert tree(photos) == before


def read_refusals(report: ActionReport) -> dict[Path, str]:
    """Return the reasons by path."""
    return {refused.path: refused.reason for refused in report.refused}


# -- attempts to make it harm


def outside(data: dict[str, Any], photos: Path) -> str:
    """Point at a file outside the gallery's folders."""
    path = photos.parent / "precious.png"
    path.write_bytes((photos / "rocket.png").read_bytes())
    data["steps"][0]["copy"] = str(path)
    return "lies outside the folders"


def upwards(data: dict[str, Any], photos: Path) -> str:
    """Reach outside with dots."""
    outside(data, photos)
    data["steps"][0]["copy"] = str(photos / ".." / "precious.png")
    return "lies outside the folders"


def keeper(data: dict[str, Any], _photos: Path) -> str:
    """Point at the keeper of another group, in favour of a copy of it."""
    step = next(step for step in data["steps"] if step["relation"] == "identical")
    data["steps"].insert(0, {**step, "copy": step["keep"], "keep": step["copy"]})
    return "is to be kept"


def itself(data: dict[str, Any], _photos: Path) -> str:
    """Make a picture its own keeper: it would be the last copy."""
    data["steps"][0]["keep"] = data["steps"][0]["copy"]
    return "is to be kept"


def stranger(data: dict[str, Any], _photos: Path) -> str:
    """Point at a picture of the gallery that is nobody's copy."""
    rocket = next(item for item in Gallery(data["gallery"]).items() if item.path.name == "rocket.png")
    data["steps"][0] |= {"copy": str(rocket.path), "copy_hash": rocket.content_hash}
    return "is no near-duplicate of its keeper"


def unknown(data: dict[str, Any], photos: Path) -> str:
    """Point at a file in the folder that the gallery does not know."""
    (photos / "notes.txt").write_text("the only copy")
    data["steps"][0]["copy"] = str(photos / "notes.txt")
    return "is not a picture of the gallery"


def other_hash(data: dict[str, Any], _photos: Path) -> str:
    """Give another hash."""
    data["steps"][0]["copy_hash"] = "0" * 32
    return "the gallery knows another content"


def changed(data: dict[str, Any], _photos: Path) -> str:
    """Change the copy after the plan was made."""
    with Path(data["steps"][0]["copy"]).open("ab") as file:
        file.write(b"!")
    return "has changed since the plan was made"


def changed_keeper(data: dict[str, Any], _photos: Path) -> str:
    """Change the keeper after the plan was made."""
    with Path(data["steps"][0]["keep"]).open("ab") as file:
        file.write(b"!")
    return "its keeper has changed since"


def lost_keeper(data: dict[str, Any], _photos: Path) -> str:
    """Remove the keeper after the plan was made."""
    Path(data["steps"][0]["keep"]).unlink()
    return "its keeper is gone"


def linked_file(data: dict[str, Any], photos: Path) -> str:
    """Put a symbolic link to a file elsewhere in the place of the copy."""
    copy = Path(data["steps"][0]["copy"])
    copy.rename(photos.parent / "elsewhere.jpg")
    copy.symlink_to(photos.parent / "elsewhere.jpg")
    return "symbolic link"


def linked_folder(_data: dict[str, Any], photos: Path) -> str:
    """Put a symbolic link to a folder elsewhere in the place of the copy's folder."""
    (photos / "copies").rename(photos.parent / "elsewhere")
    (photos / "copies").symlink_to(photos.parent / "elsewhere")
    return "symbolic link"


def told_apart(data: dict[str, Any], _photos: Path) -> str:
    """Let a person say meanwhile that the two are different pictures."""
    with Gallery(data["gallery"]) as gallery:
        ids = {str(item.path): item.id for item in gallery.items()}
        gallery.answers.set(ids[data["steps"][0]["copy"]], ids[data["steps"][0]["keep"]], "different")
    return "a person said"


@pytest.mark.parametrize(
    "attempt",
    [
        outside,
        upwards,
        keeper,
        itself,
        stranger,
        unknown,
        other_hash,
        changed,
        changed_keeper,
        lost_keeper,
        linked_file,
        linked_folder,
        told_apart,
    ],
)
def test_an_edited_plan_harms_nothing(
    act: Act, photos: Path, plan: Path, attempt: Callable[[dict[str, Any], Path], str]
) -> None:
    """The step is refused with one line that says why, and the file stays; the other steps are done."""
    reason = ""

    def change(data: dict[str, Any]) -> None:
        nonlocal reason
        reason = attempt(data, photos)

    edit(plan, change)
    target = Path(json.loads(plan.read_text())["steps"][0]["copy"])
    content = target.read_bytes()
    report = act()
    refused = read_refusals(report)
    assert target in refused
    assert target.read_bytes() == content
    (line,) = [text for path, text in refused.items() if path == target]
    assert re.search(reason, line)
    assert "\n" not in line
    assert target not in report.done


def test_protected_folders_are_never_touched(gallery: Gallery, photos: Path, plan: Path, act: Act) -> None:
    """A plan leaves them out; a step written in by hand, or a folder protected only now, is refused."""
    rules = KeeperRules(protect=(photos / "copies",))
    report = find_duplicates(gallery, threshold=NEAR, rules=rules)
    assert {group.reason.rule for group in report.groups if group.reason} == {Rule.PROTECTED}
    assert {Path(group.keep).parent.name for group in report.groups} == {"copies"}
    before = plan.read_text()
    made = plan_json(report, gallery, protected=rules.protect)
    step = {**made["steps"][0], "copy": made["steps"][0]["keep"], "copy_hash": made["steps"][0]["keep_hash"]}
    step |= {"keep": made["steps"][0]["copy"], "keep_hash": made["steps"][0]["copy_hash"]}
    plan.write_text(json.dumps({**made, "steps": [step]}))
    assert read_refusals(act(dry_run=True)) == {Path(step["copy"]): "lies in a protected folder"}
    plan.write_text(before)
    late = act(protect=[photos / "copies"])
    assert sorted(read_refusals(late).values()) == ["lies in a protected folder"] * 2
    assert [Path(path).name for path in late.done] == ["coffee.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(threshold=2.0), "edited by hand"),
        (lambda data: data.update(protected=["/"]), "edited by hand"),
        (lambda data: data.update(gallery="/elsewhere"), "edited by hand"),
        (lambda data: data.update(format=2), "format 2"),
        (lambda data: data.update(simsearch="journal"), "not a plan"),
        (lambda data: data.update(steps={}), "no list of steps"),
        (lambda data: data["steps"][1].update(copy=7), "step 2: its "),
        (lambda data: data["steps"][1].pop("keep_hash"), "step 2: its "),
    ],
)
def test_a_plan_that_is_none_is_refused_whole(
    plan: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    """Only steps may be taken out by hand: anything else is one line that names the file."""
    edit(plan, change)
    with pytest.raises(PlanError, match=message) as caught:
        read_plan(plan)
    assert str(plan) in str(caught.value)


def test_steps_may_be_taken_out(plan: Path, act: Act, photos: Path) -> None:
    """What a person has deleted from the plan is not done."""
    edit(plan, lambda data: data["steps"].pop(0))
    gone = {str(Path(path).relative_to(photos)) for path in act().done}
    assert len(gone) == 2
    assert gone < COPIES


def test_a_taken_place_is_left_alone(act: Act, photos: Path, plan: Path) -> None:
    """Undo never overwrites: a new file in the old place stays, the rest is restored, and the old one is named."""
    before = tree(photos)
    report = act()
    (photos / "coffee.png").write_bytes(b"something new")
    undone = undo_journal(plan.with_suffix(".journal"))
    assert (photos / "coffee.png").read_bytes() == b"something new"
    (refused,) = undone.refused
    assert "another file is in its place" in refused.reason
    assert Path(report.places[0], "coffee.png").read_bytes() == before["coffee.png"][0]
    assert {name: entry for name, entry in tree(photos).items() if name != "coffee.png"} == {
        name: entry for name, entry in before.items() if name != "coffee.png"
    }


def test_a_file_that_came_back_is_not_taken_again(act: Act, photos: Path, gallery: Gallery) -> None:
    """After it was put away, a file in the same place is another case: the plan does not know it."""
    content = (photos / "coffee.png").read_bytes()
    act()
    (photos / "coffee.png").write_bytes(content)
    gallery.sync([photos])
    assert "make a new plan" in read_refusals(act())[photos / "coffee.png"]


def test_two_at_once(act: Act, plan: Path) -> None:
    """A journal that another process holds is refused in one line."""
    act()
    code = "import sys,time,fcntl; f=open(sys.argv[1],'r+b'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True)"
    code += "; time.sleep(60)"
    journal = plan.with_suffix(".journal")
    with subprocess.Popen([sys.executable, "-c", code, journal], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(PlanError, match="another simsearch"):
            undo_journal(journal)
        holder.kill()
    assert len(undo_journal(journal).done) == 3


def test_another_action_needs_another_journal(act: Act) -> None:
    """One journal holds one kind of action, so that undo knows what to do."""
    act()
    with pytest.raises(PlanError, match="begun with --to trash"):
        act(Action.HARDLINK)


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b'{"simsearch": "plan"}\n', b"[1]\n", b'{"a": 1}\n{"b"\n'])
def test_a_journal_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """Undo says in one line that it was given another file."""
    (tmp_path / "x.journal").write_bytes(content)
    with pytest.raises(PlanError, match="not a journal"):
        undo_journal(tmp_path / "x.journal")
    with pytest.raises(PlanError, match="cannot be opened"):
        undo_journal(tmp_path / "missing.journal")


def test_the_command_counts_refusals(plan: Path, run: Run) -> None:
    """Refusals are counted by reason, in words and as JSON; the exit code is 1 when nothing could be done, else 0."""
    done = run("apply", plan, "--to", "hardlink", "--dry-run")
    assert done.returncode == 0
    assert "2 refused: only identical files can be made a hardlink" in done.stdout
    edit(plan, lambda data: data.update(steps=[s for s in data["steps"] if s["relation"] != "identical"]))
    refused = run("apply", plan, "--to", "hardlink", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["reasons"] == {"only identical files can be made a hardlink": 2}
    assert run("undo", plan.with_suffix(".journal")).returncode == 0
    edit(plan, lambda data: data.update(steps=[]))
    assert run("apply", plan, "--to", "hardlink").returncode == 0
