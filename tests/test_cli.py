"""The real command line: output, exit codes, and one line for every mistake."""

import csv
import io
import json
import os
import shlex
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import typer.main
from PIL import Image

from conftest import Run
from siamese_search import __version__
from siamese_search.cli.app import app
from siamese_search.gallery.local.layout import with_checksum

GROUP: Any = typer.main.get_command(app)  # of the command line's own classes, which typer does not export
COMMANDS = sorted(GROUP.commands)


@pytest.fixture
def indexed(run: Run, photos: Path) -> Path:
    """Index the nine photos into the default gallery and return their folder."""
    finished = run("index", photos)
    assert finished.returncode == 0, finished.stderr
    return photos


def refused(run: Run, *arguments: str | Path) -> str:
    """Run what must fail with exit code 1, and return the one line that it says."""
    finished = run(*arguments)
    assert finished.returncode == 1, finished.stdout
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("simsearch: ")
    return line.removeprefix("simsearch: ")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_ends_in_an_example(run: Run, command: str, flag: str) -> None:
    """Every command explains itself and each of its arguments, and shows how it is used."""
    finished = run(command, flag)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert " ".join(finished.stdout.split("\n\n")[-1].split()).startswith(f"Example: simsearch {command} ")
    for parameter in GROUP.commands[command].params:
        assert parameter.help, f"{command} {parameter.name} is missing its help"
        assert max(parameter.opts, key=len) in finished.stdout or parameter.metavar in finished.stdout


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_examples_can_be_typed(command: str | None) -> None:
    """Each command of each example is one that the command line takes, with these options."""
    example = (GROUP.commands[command] if command else GROUP).epilog.removeprefix("Example: ")
    for line in example.split(" && "):
        program, *arguments = shlex.split(line)
        assert program == "simsearch"
        with GROUP.make_context("simsearch", arguments) as context:
            name, found, rest = GROUP.resolve_command(context, arguments)
            found.make_context(name, rest, parent=context).close()


def test_every_command_is_listed(run: Run) -> None:
    """The overview names each command, and ends in an example."""
    for flag in ("--help", "-h"):
        lines = run(flag).stdout.splitlines()
        for command in COMMANDS:
            assert any(line.startswith(f"  {command} ") for line in lines)
        assert lines[-1].startswith("  Example: simsearch ")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_about_a_gallery_take_one(command: str) -> None:
    """All do but those that are about a plan, a journal, or an encoder alone."""
    takes = any("--index" in parameter.opts for parameter in GROUP.commands[command].params)
    assert takes == (command not in {"apply", "undo", "train", "evaluate"})


def test_version(run: Run) -> None:
    """The version is printed alone."""
    assert run("--version").stdout == f"simsearch {__version__}\n"


def test_index_reports_what_it_did(run: Run, photos: Path, tmp_path: Path) -> None:
    """Counts are for people or as JSON with stable keys; stderr stays empty when piped."""
    (photos / "bad.jpg").write_bytes(b"no picture")
    finished = run("index", photos)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("indexes/default: 9 images (9 added, 1 skipped) in ")
    assert f"\nskipped {photos / 'bad.jpg'}: not an image that can be read\n" in finished.stdout
    report = json.loads(run("index", photos, "--json").stdout)
    assert report.pop("seconds") >= 0
    assert report == {
        "added": 0,
        "changed": 0,
        "moved": 0,
        "removed": 0,
        "unchanged": 9,
        "skipped": [{"path": str(photos / "bad.jpg"), "reason": "not an image that can be read"}],
        "images": 9,
        "index": "indexes/default",
        "stopped": False,
        "left_out": {},
        "noted": [],
        "re_embedded": 0,
    }
    assert run("index", photos, "--quiet").stdout == ""
    assert sorted(path.name for path in (tmp_path / "indexes" / "default").iterdir()) == ["gallery.db", "index.faiss"]


def test_decoders_do_not_talk(run: Run, tmp_path: Path) -> None:
    """What libtiff writes about a damaged file past Python does not reach the terminal; our own line does."""
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "TIFF", compression="tiff_lzw")
    data = bytearray(out.getvalue())
    data[200:900] = b"\xff" * 700
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "bad.tif").write_bytes(data)
    finished = run("index", "pictures")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "bad.tif: damaged" in finished.stdout
    assert "bad.tif: damaged" in refused(run, "query", "pictures/bad.tif")


def test_query_answers_as_json(run: Run, indexed: Path) -> None:
    """Several images are answered in order, with the stable keys."""
    paths = [str(indexed / "chelsea.png"), str(indexed / "rocket.png")]
    finished = run("query", *paths, "-k", "2", "--json", "--threshold", "0.25", "--include-self", "--copies")
    assert finished.stderr == ""
    answer = json.loads(finished.stdout)
    assert answer["threshold"] == 0.25
    assert [query["query"] for query in answer["queries"]] == paths
    chelsea, rocket = answer["queries"]
    assert {hit["path"] for hit in chelsea["hits"][:2]} == {paths[0], str(indexed / "copies" / "chelsea again.png")}
    assert [hit["duplicate"] for hit in chelsea["hits"]][:3] == [True, True, False]
    assert [hit["rank"] for hit in chelsea["hits"]][:3] == [1, 2, 3]
    assert [hit["group"] for hit in chelsea["hits"]][:3] == [1, 1, 2]
    assert [hit["kind"] for hit in chelsea["hits"]][:2] == ["same", "same"]
    assert rocket["hits"][0]["path"] == paths[1]
    keys = {"rank", "path", "distance", "duplicate", "kind", "relation", "group", "copies"}
    assert rocket["hits"][0].keys() == keys


def test_query_reads_stdin(run: Run, indexed: Path) -> None:
    """IMAGE - is the picture on stdin."""
    finished = run("query", "-", "-k", "1", "--json", stdin=(indexed / "rocket.png").read_bytes())
    (query,) = json.loads(finished.stdout)["queries"]
    assert query["query"] == "-"
    assert query["hits"][0]["path"] == str(indexed / "rocket.png")
    finished = run("query", "-", stdin=b"no picture")
    assert (finished.returncode, len(finished.stderr.splitlines())) == (1, 1)


def test_one_bad_image_of_many_does_not_lose_the_others(run: Run, indexed: Path) -> None:
    """The others are answered in their order, stdin among them; the bad ones are named, and the exit code tells."""
    good, bad = indexed / "rocket.png", indexed / "bad.jpg"
    bad.write_bytes(b"no picture")
    images = (bad, good, "-", "missing.jpg")
    finished = run(
        "query", *images, "-k", "1", "--json", "--include-self", stdin=(indexed / "chelsea.png").read_bytes()
    )
    assert finished.returncode == 1
    answered = {query["query"]: query["hits"][0]["path"] for query in json.loads(finished.stdout)["queries"]}
    assert answered == {str(good): str(good), "-": str(indexed / "chelsea.png")}
    assert finished.stderr.splitlines() == [
        f"simsearch: {bad}: not an image that can be read",
        "simsearch: missing.jpg: no such file",
    ]
    (line,) = run("query", good, bad, "-k", "1", "--include-self").stdout.splitlines()
    assert line.split("\t")[0] == str(good)  # named, though it is the only one left
    finished = run("query", bad, "missing.jpg", "--json")
    assert (finished.returncode, finished.stdout, len(finished.stderr.splitlines())) == (1, "", 2)


def test_the_device_can_be_chosen(run: Run, photos: Path) -> None:
    """`--device` of index takes what train takes, and says so when there is no GPU to take."""
    assert "device gpu: give auto, cpu or cuda" in refused(run, "index", photos, "--device", "gpu")
    assert run("index", photos, "--device", "cpu").returncode == 0


def test_query_prints_plain_lines_when_piped(run: Run, indexed: Path) -> None:
    """Rank, distance, verdict and path, separated by tabs; CSV on demand."""
    arguments = ("query", indexed / "rocket.png", "-k", "3", "--include-self")
    rows = [line.split("\t") for line in run(*arguments).stdout.splitlines()]
    assert [len(row) for row in rows] == [4, 4, 4]
    assert rows[0] == ["1", "0.0000", "the same, identical", str(indexed / "rocket.png")]
    table = list(csv.DictReader(io.StringIO(run(*arguments, "--csv").stdout)))
    assert [row["path"] for row in table] == [row[3] for row in rows]


def test_query_draws_a_sheet(run: Run, indexed: Path, tmp_path: Path) -> None:
    """--sheet writes a picture of what was found."""
    assert run("query", indexed / "rocket.png", "--sheet", "out.png").returncode == 0
    with Image.open(tmp_path / "out.png") as sheet:
        assert sheet.width > 300
    assert "one image file" in refused(run, "query", "a.png", "b.png", "--sheet", "out.png")


def test_dedupe_reports_groups(run: Run, indexed: Path, tmp_path: Path) -> None:
    """Groups come as JSON, CSV, lines and a page, all telling the same."""
    report = json.loads(run("dedupe", "--threshold", "0.3", "--json", "--report", "out").stdout)
    assert (report["threshold"], report["expected_precision"], report["images"]) == (0.3, None, 9)
    found = {
        Path(group["keep"]).name: [(Path(copy["path"]).name, copy["relation"]) for copy in group["copies"]]
        for group in report["groups"]
    }
    assert found == {
        "astronaut.png": [("astronaut bright.jpg", "confirmed")],
        "chelsea.png": [("chelsea again.png", "identical")],
        "coffee.bmp": [("coffee.png", "same-pixels")],
    }
    assert "<html" in (tmp_path / "out" / "index.html").read_text()
    lines = run("dedupe", "--threshold", "0.3").stdout.splitlines()
    keeper = lines[0].split("\t")
    assert (keeper[:2], keeper[-1]) == (["1", "keep"], str(indexed / "astronaut.png"))
    assert any(line.startswith("9 images: 3 groups with 3 copies: ") for line in lines)
    table = list(csv.DictReader(io.StringIO(run("dedupe", "--threshold", "0.3", "--csv").stdout)))
    assert len(table) == 6
    restricted = run("dedupe", indexed / "copies", "--threshold", "0.3", "--json")
    assert json.loads(restricted.stdout)["images"] == 3


def test_what_is_left_out_is_said(run: Run, photos: Path) -> None:
    """Other kinds of files are counted, folders of systems named, and `--exclude` leaves out what it names."""
    for name in ("clip.mp4", "@eaDir/thumb.png", "thumb_rocket.png"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes((photos / "rocket.png").read_bytes())
    (photos / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    printed = run("index", photos, "--exclude", "thumb_*").stdout
    assert ": 9 images" in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("left out: ")]
    assert "MP4" in line
    assert "@eaDir" in line
    assert run("index", photos).stdout.count("1 added") == 1


def test_info_describes_the_gallery(run: Run, indexed: Path) -> None:
    """Encoder, images, folders, threshold and its source, index and bytes, for people and as JSON."""
    about = json.loads(run("info", "--json").stdout)
    assert (about["encoder"], about["images"], about["roots"]) == ("photo", 9, [str(indexed)])
    assert about["threshold"]["source"] == "gallery"  # index calibrated it
    assert about["size_on_disk"] > 0
    text = run("info").stdout
    assert str(indexed) in text
    assert about["fingerprint"] in text


def test_names_that_are_not_utf8_are_printed(run: Run, photos: Path) -> None:
    """Such a name is readable in text and lossless in JSON."""
    name = photos / os.fsdecode(b"caf\xe9.png")
    (photos / "rocket.png").rename(name)
    assert run("index", photos).returncode == 0
    assert "caf\\xe9.png" in run("query", name, "-k", "1", "--include-self").stdout
    answer = json.loads(run("query", name, "-k", "1", "--include-self", "--json").stdout)
    assert os.fsencode(answer["queries"][0]["hits"][0]["path"]) == os.fsencode(name)


def test_mistakes_get_one_line(run: Run, indexed: Path, tmp_path: Path) -> None:
    """Each error is one line on stderr that names the thing, with exit code 1."""
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    assert refused(run, "query", "bad.jpg") == "bad.jpg: not an image that can be read"
    assert refused(run, "query", "missing.jpg") == "missing.jpg: no such file"
    assert refused(run, "query", indexed) == f"{indexed}: is a folder, not an image file"
    assert refused(run, "index", "missing").startswith("missing: no such folder")
    assert refused(run, "index", indexed / "rocket.png").endswith("is a file; name the folder that holds it")
    assert "no gallery here" in refused(run, "query", "bad.jpg", "--index", "none")
    assert "no gallery here" in refused(run, "dedupe", "--index", "none")
    assert "no gallery here" in refused(run, "info", "--index", "none")
    assert "no encoder there" in refused(run, "index", indexed, "--encoder", "none", "--index", "new")
    assert "no indexed pictures" in refused(run, "dedupe", tmp_path / "elsewhere")
    assert "give one of them" in refused(run, "dedupe", "--threshold", "0.5", "--precision", "0.9")
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "new").exists()


def test_a_damaged_gallery_gets_one_line(run: Run, tmp_path: Path) -> None:
    """A gallery.db that is none, or of a later version, is named with the way out."""
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "gallery.db").write_bytes(b"\0" * 5000)
    assert "gallery.db: damaged" in refused(run, "info", "--index", "g")
    (tmp_path / "g" / "gallery.db").unlink()
    with sqlite3.connect(tmp_path / "g" / "gallery.db") as database:
        database.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT, checksum INTEGER)")
        database.execute("INSERT INTO meta VALUES (?, ?, ?)", with_checksum("meta", ("format", "99")))
    database.close()
    assert "upgrade simsearch" in refused(run, "dedupe", "--index", "g")


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", "photos", "--index", "typo/deep/g"),
        ("index", "photos", "--index", "typo/g"),
        ("query", "a.jpg", "--sheet", "typo/found.png"),
        ("dedupe", "--sheet", "typo/found.png"),
        ("dedupe", "--plan", "typo/plan.json"),
        ("dedupe", "--report", "typo/page.html"),
        ("dedupe", "--report", "typo/report"),
        ("info", "--map", "typo/map.html"),
        ("export", "typo/embeddings"),
        ("review", "--export", "typo/answers.csv"),
        ("train", "digits", "-o", "typo/encoder"),
        ("evaluate", "photo", "digits", "--save-pairs", "typo/pairs.csv"),
        ("evaluate", "photo", "digits", "--figures", "typo/figures"),
        ("apply", "plan.json", "--to", "move", "--into", "typo/away"),
        ("demo", "--folder", "typo/demo"),
    ],
)
def test_a_slip_in_a_path_makes_no_folders(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What would be written into a folder that is not there is refused at once, and nothing is made."""
    said = refused(run, *arguments)
    assert f"{arguments[-1]}: cannot be written: " in said
    assert "is not there; make that folder first, or check the name" in said
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("query", "a.jpg", "-k", "x"), "simsearch: -k: "),
        (("query", "a.jpg", "-k", "0"), "simsearch: -k: "),
        (("dedupe", "--threshold", "far"), "simsearch: --threshold: "),
        (("apply", "plan.json", "--to", "bin"), "simsearch: --to: 'bin' is not one of 'trash', 'move'"),
        (("index",), "simsearch: there is no gallery in indexes/default yet; name the FOLDER to index"),
    ],
)
def test_wrong_usage_is_said_plainly(run: Run, arguments: tuple[str, ...], words: str) -> None:
    """One line names the option, says what it has to be, and where to read on."""
    said = run(*arguments).stderr
    assert said.startswith(words)
    assert said.endswith(f"; see: simsearch {arguments[0]} --help\n")
    assert "Input should be" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("query",),
        ("query", "a.jpg", "-k", "0"),
        ("query", "a.jpg", "--threshold", "2.5"),
        ("query", "a.jpg", "--threshold", "near"),
        ("query", "a.jpg", "--threshold", "nan"),
        ("query", "a.jpg", "--json", "--csv"),
        ("dedupe", "--threshold", "-1"),
        ("dedupe", "--precision", "1.5"),
        ("dedupe", "--json", "--csv"),
        ("index",),
        ("nonsense",),
    ],
)
def test_wrong_usage_exits_2(run: Run, arguments: tuple[str, ...]) -> None:
    """What the command line itself refuses exits 2, says why in one line, and prints nothing on stdout."""
    finished = run(*arguments)
    assert (finished.returncode, finished.stdout) == (2, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("simsearch: ")
    assert line.endswith(f"; see: simsearch {arguments[0]} --help" if arguments[0] in COMMANDS else "--help")
