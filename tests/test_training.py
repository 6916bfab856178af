"""`simsearch train`: three kinds of labels, one loop, runs that resume."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR, UNKNOWN, Pairs
from siamese_search.encoder import load_encoder
from siamese_search.encoder.export import save_encoder
from siamese_search.errors import DataError, OptionError
from siamese_search.images import edits
from siamese_search.training.batches import Batches, chosen_classes, epoch_slice
from siamese_search.training.config import TrainConfig, load_recipe, with_options
from siamese_search.training.data import load_folder, load_pairs
from siamese_search.training.finish import alike_limit, finished_spec, with_negatives
from siamese_search.training.kept import KeptBatches, keep_views, steady
from siamese_search.training.loop import embed_part, moved_along, rate_factor, remember, train
from siamese_search.training.losses import koleo_loss
from siamese_search.training.pairs import connected_parts
from siamese_search.training.run import Run, start_run

SMALL = TrainConfig(
    start="scratch", dim=16, input_size=32, batch=8, steps=6, warm_up=2, validate_every=3, checkpoint_every=2,
    info_nce=1.0, koleo=0.5, bank=16, workers=0,
)  # fmt: skip
NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


@pytest.fixture
def pieces(tmp_path: Path, sample: Callable[[str], Image.Image]) -> Path:
    """Pieces of four photos, sixteen each, in a folder for each photo: classes whose members look alike."""
    root = tmp_path / "pieces"
    for name in NAMES:
        photo = sample(name).resize((160, 160))
        folder = root / Path(name).stem
        folder.mkdir(parents=True)
        for i in range(16):
            left, top = 32 * (i % 4), 32 * (i // 4)
            photo.crop((left, top, left + 64, top + 64)).save(folder / f"{i}.png")
    return root


@pytest.fixture
def pairs_file(pieces: Path) -> Path:
    """Labelled pairs of those pieces: neighbours alike, pieces of two photos not."""
    path = pieces.parent / "pairs.csv"
    lines = ["first,second,label"]
    stems = [Path(name).stem for name in NAMES]
    for i in range(0, 16, 2):
        for k, stem in enumerate(stems):
            lines.append(f"{stem}/{i}.png,{stem}/{i + 1}.png,0")
            if k % 2 == 0:
                lines.append(f"{stem}/{i}.png,{stems[k + 1]}/{i}.png,1")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_three_kinds_of_labels_train_an_encoder(
    pieces: Path, pairs_file: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Folders, pairs and no labels each give an encoder folder with report and figures, and `index` uses it."""
    settings = ("--from", "scratch", "--steps", "4")
    for option in (
        "dim=16",
        "input_size=32",
        "batch=8",
        "validate_every=2",
        "workers=0",
        "warm_up=1",
    ):
        settings += ("--set", option)
    grey = ("--set", "architecture=small-grey", "--set", "edits=grey")  # seconds less in writing the graph
    for labels, network in (("folders", grey), (str(pairs_file), grey), ("none", ())):
        out = pieces.parent / f"encoder-{Path(labels).stem}"
        trained = run("train", pieces, "-o", out, "--labels", labels, *settings, *network, "--json")
        assert trained.returncode == 0, trained.stderr
        metrics = json.loads(trained.stdout)
        assert metrics == json.loads((out / "metrics.json").read_text())
        assert metrics["steps"] == 4
        assert {part: m["pairs"] > 0 for part, m in metrics["parts"].items()} == dict.fromkeys(metrics["parts"], True)
        assert (out / "report.html").stat().st_size > 10_000
        assert len(list((out / "figures").glob("*.png"))) >= 5
        indexed = run("index", pieces, "--encoder", out, "--index", f"gallery-{Path(labels).stem}", "--json")
        assert json.loads(indexed.stdout)["added"] == 64, indexed.stderr


def test_interrupted_run_is_the_run_that_never_stopped(pieces: Path, tmp_path: Path) -> None:
    """After an interruption the same command ends with the same weights after the same number of steps."""
    dataset = load_folder(pieces)

    def stop_at(step: int) -> Callable[[Run, float], None]:
        def on_step(run: Run, _loss: float) -> None:
            if run.step == step:
                raise KeyboardInterrupt

        return on_step

    whole = train(dataset, SMALL, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(dataset, SMALL, tmp_path / "parts", on_step=stop_at(3))
    steps: list[int] = []
    again = train(dataset, SMALL, tmp_path / "parts", on_step=lambda run, _loss: steps.append(run.step))
    assert steps == [3, 4, 5, 6]  # the checkpoint was made after step 2
    assert len(again.history) == len(whole.history)
    for (name, one), other in zip(whole.average.state_dict().items(), again.average.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=name)
    # A finished run is not trained again, only scored.
    assert train(dataset, SMALL, tmp_path / "parts").step == 6


def test_kill_in_the_middle_and_resume(
    pieces: Path, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """After kill -9 the command line goes on from the last checkpoint and makes the steps that were asked for."""
    out = tmp_path / "encoder"
    command = ["train", str(pieces), "-o", str(out), "--from", "scratch", "--steps", "20", "--quiet", "--json"]
    for option in ("dim=16", "input_size=32", "batch=8", "checkpoint_every=2", "workers=0"):
        command += ["--set", option]
    pipe = subprocess.PIPE
    first = subprocess.Popen([sys.executable, "-m", "siamese_search", *command], stdout=pipe, stderr=pipe)
    checkpoint = out / "run" / "run.safetensors"
    waited = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < waited:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert checkpoint.exists()
    assert not (out / "encoder.json").exists()
    metrics = json.loads(run(*command).stdout)
    assert metrics["steps"] == 20
    assert metrics["history"][-1]["step"] == 20
    assert load_encoder(out).dim == 16


def test_other_options_do_not_continue_a_run(pieces: Path, tmp_path: Path) -> None:
    """A folder with a run of other options is left alone, and the differing option is named."""
    dataset = load_folder(pieces)
    train(dataset, replace(SMALL, steps=2), tmp_path / "run")
    with pytest.raises(OptionError, match="margin"):
        train(dataset, replace(SMALL, steps=2, margin=0.5), tmp_path / "run")


def test_training_teaches(pieces: Path, tmp_path: Path) -> None:
    """Some dozens of steps on class folders lower the contrastive loss on validation pairs."""
    dataset = load_folder(pieces, labels="folders")
    config = replace(
        SMALL, start="imagenet", steps=40, info_nce=0.0, koleo=0.0, bank=0, edits="none", average=0.8, batch=24
    )
    history = train(dataset, config, tmp_path / "run").history
    assert history[-1]["loss"] < 0.75 * history[0]["loss"]


def test_finished_encoder_subtracts_what_training_pictures_share(pieces: Path, tmp_path: Path) -> None:
    """`negatives` are means of clusters of training embeddings; training that goes on from there sheds them."""
    dataset, config = load_folder(pieces), replace(SMALL, start="imagenet", steps=2, negatives=9)
    run = train(dataset, config, tmp_path / "run")
    plain = embed_part(run.average, dataset.train, size=config.input_size)
    spec = finished_spec(dataset, config)
    network = with_negatives(run, spec, dataset, on_stage=lambda _: None)
    save_encoder(network, spec, tmp_path / "encoder")
    centres = network.subtraction.centres.numpy()
    assert spec.negatives == len(centres) == len(dataset.train) // 16
    nearest = np.square(plain[:, None] - centres).sum(axis=2).argmin(axis=1)
    for i, centre in enumerate(centres):
        np.testing.assert_allclose(centre, plain[nearest == i].mean(axis=0), atol=1e-3)
    assert np.abs(embed_part(network, dataset.train, size=config.input_size) - plain).max() > 0.01
    again = start_run(dataset, replace(config, start=str(tmp_path / "encoder")), torch.device("cpu"))
    np.testing.assert_allclose(embed_part(again.network, dataset.train, size=config.input_size), plain, atol=1e-2)


TWO_PARTS = replace(
    SMALL, subject=6, subject_weight=0.2, contrastive=0.0, info_nce=0.0, koleo=0.0, bank=0, kept_views=2, steadied=0.3
)


def test_parts_are_fitted_to_kept_views(pieces: Path, tmp_path: Path) -> None:
    """On kept views the trunk stays as it is, the subject part learns from its teachers, and views are made once."""
    dataset, config = load_folder(pieces), replace(TWO_PARTS, start="imagenet", steps=30, batch=24, head_rate=3e-3)
    before = start_run(dataset, config, torch.device("cpu")).network.state_dict()
    losses: list[float] = []
    run = train(dataset, config, tmp_path / "run", on_step=lambda _run, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:3])
    after = run.network.state_dict()
    changed = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"subject"}
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("views-*.safetensors")}
    assert len(made) == 2
    rounds = keep_views(run.network, dataset, config, tmp_path / "run")
    assert all(path.stat().st_mtime_ns == when for path, when in made.items())
    assert rounds[0]["features"].shape == (2, len(dataset.train), run.network.trunk.features)
    assert KeptBatches(rounds, config)[3].views.shape == (24, run.network.trunk.features)


def test_steadied_projection_brings_copies_nearer_than_others(pieces: Path, tmp_path: Path) -> None:
    """What differs among views of one picture weighs less afterwards, beside what differs among pictures."""
    dataset, config = load_folder(pieces), replace(TWO_PARTS, start="imagenet")
    network = start_run(dataset, config, torch.device("cpu")).network
    rounds = keep_views(network, dataset, config, tmp_path / "run")

    def spread() -> float:
        with torch.no_grad():
            light, heavy = (network.parts(views.float())[0] for views in rounds[1]["features"])
        return float((light - heavy).norm(dim=1).mean() / torch.pdist(light).mean())

    apart = spread()
    steady(network, rounds, 0.3)
    assert spread() < apart


def test_alike_is_how_near_pictures_of_one_kind_lie() -> None:
    """Within the limit enough of the nearest are of the kind; one kind alone tells nothing."""
    turn = np.concatenate([np.linspace(0, 0.3, 6), np.linspace(1.5, 1.8, 6)])
    embeddings = np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)
    kind = np.repeat([0, 1], 6)
    assert alike_limit(embeddings, kind) == pytest.approx(0.3, abs=0.01)
    assert alike_limit(embeddings, np.zeros(12, np.int64)) is None


def test_batches_are_a_function_of_seed_and_step(pieces: Path) -> None:
    """Step 3 is the same batch whether the run started at 0 or was continued at 2; another seed gives another."""
    dataset = load_folder(pieces)
    batches = [Batches(dataset, SMALL)[3], Batches(dataset, SMALL, first_step=2)[1]]
    assert torch.equal(batches[0].views, batches[1].views)
    assert torch.equal(batches[0].targets, batches[1].targets)
    assert not torch.equal(batches[0].views, Batches(dataset, replace(SMALL, seed=1))[3].views)


def test_unlabelled_batch_pairs_each_picture_with_its_own_view(pieces: Path) -> None:
    """Without labels the similar pairs are a picture and its own edited view, and nothing else."""
    batch = Batches(load_folder(pieces), SMALL)[0]
    half = SMALL.batch // 2
    expected = torch.eye(half, dtype=torch.bool).repeat(2, 2)
    assert torch.equal(batch.targets == 0, expected)


def test_collage_is_a_copy_of_each_picture_in_it(pieces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collage is similar to plain views of all it shows, no negative of collages of these, and not remembered."""
    monkeypatch.setattr(edits, "EDITS", ((1.0, edits.collage),))
    dataset = load_folder(pieces)
    config = replace(SMALL, batch=32, edits="photo")
    batch = Batches(dataset, config)[0]
    assert batch.identity is not None
    assert batch.others is not None
    several = (batch.others >= 0).any(dim=1)
    assert several[16:].all()
    assert not several.all()
    shown = [{one, *also} - {-1} for one, also in zip(batch.identity.tolist(), batch.others.tolist(), strict=True)]
    tiled = 0
    for i, j in np.ndindex(32, 32):
        twins = batch.identity[i] == batch.identity[j]
        if twins or (shown[i] & shown[j] and not (several[i] and several[j])):
            assert batch.targets[i, j] == SIMILAR
            tiled += not twins
        else:
            assert batch.targets[i, j] == (UNKNOWN if shown[i] & shown[j] else DISSIMILAR)
    assert tiled > 0
    run = start_run(dataset, config, torch.device("cpu"))
    remember(run, torch.eye(32, 16), batch)
    assert run.bank_identity.tolist() == batch.identity[~several].tolist()[-config.bank :]


def test_pairs_batch_knows_only_the_listed_pairs(pieces: Path, pairs_file: Path) -> None:
    """With labelled pairs, every label in a batch is one from the file, and the rest is unknown."""
    dataset = load_pairs(pieces, pairs_file)
    assert dataset.train.pairs is not None
    batch = Batches(dataset, SMALL)[0]
    first, second = torch.nonzero((batch.targets >= 0).triu(1), as_tuple=True)
    assert len(first)
    listed = {frozenset(p): y for *p, y in zip(
        dataset.train.pairs.first.tolist(), dataset.train.pairs.second.tolist(), dataset.train.pairs.label.tolist(),
        strict=True,
    )}  # fmt: skip
    chosen, _, _ = Batches(dataset, SMALL).choose(0)
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        pair = frozenset((int(chosen[i]), int(chosen[j])))
        assert len(pair) == 1 or listed[pair] == batch.targets[i, j]


def test_leaving_the_remembered_behind_together_gains_nothing() -> None:
    """When all embeddings of a batch move one way, those remembered seem far; seen from where the batch is, not."""
    rng = torch.Generator().manual_seed(0)
    batch, before = (1 + torch.randn(n, 16, generator=rng) for n in (8, 400))
    bank, alike = functional.normalize(before, dim=1), torch.zeros(8, 8)

    def gained(remembered: Callable[[torch.Tensor], torch.Tensor]) -> float:
        there, gone = (functional.normalize(batch + shift, dim=1) for shift in (0, -2))
        losses = [koleo_loss(x, alike, bank=remembered(x), bank_targets=torch.ones(8, 400)) for x in (there, gone)]
        return float(losses[0] - losses[1])

    assert gained(lambda _: bank) > 0.5
    assert abs(gained(lambda embeddings: moved_along(bank, embeddings))) < 0.1


def test_an_epoch_shows_every_picture_once() -> None:
    """The slices of one epoch are disjoint and cover all but a rest smaller than a batch."""
    seen = np.concatenate([epoch_slice(50, 8, step, seed=1) for step in range(6)])
    assert len(np.unique(seen)) == len(seen) == 48
    assert not np.array_equal(epoch_slice(50, 8, 0, 1), epoch_slice(50, 8, 6, 1))


def test_class_batches_hold_several_of_each() -> None:
    """A batch by classes takes as many pictures of each class as asked, repeating those of small classes."""
    identity = np.array([0] * 10 + [1] * 2 + [2] * 10)
    chosen = chosen_classes(identity, 12, 4, np.random.default_rng(0))
    assert np.bincount(identity[chosen]).tolist() == [4, 4, 4]


def test_parts_share_no_picture(pieces: Path, pairs_file: Path) -> None:
    """Training, validation and test part are disjoint, for folders and for pairs; a test list decides the test part."""
    test_list = pieces.parent / "test.txt"
    test_list.write_text("coffee/3.png\nrocket/0.png\n")
    for dataset in (load_folder(pieces), load_pairs(pieces, pairs_file), load_folder(pieces, test_list=test_list)):
        parts = [{p.pictures.name(i) for i in range(len(p))} for p in (dataset.train, dataset.validation, dataset.test)]
        assert all(parts)
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
    assert parts[2] == {"coffee/3.png", "rocket/0.png"}


def test_pairs_that_hang_together_cannot_be_split() -> None:
    """One chain through all pictures leaves two parts without pairs, and the error says why."""
    chain = Pairs(first=np.arange(20), second=np.arange(1, 21), label=(np.arange(20) % 2).astype(np.int8))
    with pytest.raises(DataError, match="separate clusters"):
        connected_parts(chain, 21, shares=(0.8, 0.1, 0.1))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.png,b.png,2", "label is '2'"),
        (",b.png,1", "a picture is missing"),
        ("no.png,chelsea/1.png,1", "does not exist"),
    ],
)
def test_bad_pairs_are_named(pieces: Path, pairs_file: Path, line: str, words: str) -> None:
    """A line of the CSV that cannot be used is named with its fault."""
    pairs_file.write_text(f"first,second,label\n{line}\n")
    with pytest.raises(DataError, match=words):
        load_pairs(pieces, pairs_file)


def test_broken_pictures_are_left_out(pieces: Path) -> None:
    """A picture that cannot be read is not trained on, and is listed with its reason."""
    (pieces / "coffee" / "0.png").write_bytes(b"no picture")
    dataset = load_folder(pieces)
    assert sum(len(part) for part in (dataset.train, dataset.validation, dataset.test)) == 63
    assert [(Path(s.path).name, bool(s.reason)) for s in dataset.skipped] == [("0.png", True)]


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    """Training on next to nothing is refused with the number that is needed."""
    Image.new("RGB", (20, 20)).save(tmp_path / "one.png")
    with pytest.raises(DataError, match="at least 8"):
        load_folder(tmp_path)


def test_recipes_are_read_and_checked(tmp_path: Path) -> None:
    """Every shipped recipe loads; an unknown name, option, type or value is told by name."""
    recipes = Path(load_recipe.__code__.co_filename).parent / "recipes"
    shipped = {"alike", "copies", "digits", "mnist", "mnist-reference", "photo"}
    assert {path.stem for path in recipes.glob("*.toml")} == shipped
    for path in recipes.glob("*.toml"):
        assert load_recipe(path.stem).steps > 0
    log = (Path(__file__).parents[1] / "docs" / "encoder-log.md").read_text(encoding="utf-8")
    (first,) = re.findall(r"```toml\n(.*?)```", log, flags=re.DOTALL)
    (tmp_path / "first.toml").write_text(first, encoding="utf-8")
    assert load_recipe(str(tmp_path / "first.toml")).steps == 1600
    with pytest.raises(OptionError, match="no such recipe; there are"):
        load_recipe("nothing")
    for text, words in (
        ("speed = 3", "unknown options speed"),
        ("steps = 'many'", "steps is 'many'"),
        ("steps = 0", "above 0"),
    ):
        (tmp_path / "r.toml").write_text(text)
        with pytest.raises(OptionError, match=words):
            load_recipe(str(tmp_path / "r.toml"))
    assert with_options(SMALL, {"margin": 1}, source="x").margin == 1.0


def test_learning_rate_warms_up_and_cools_down() -> None:
    """The factor rises linearly to 1 and ends near a hundredth."""
    config = replace(SMALL, steps=100, warm_up=10)
    factors = [rate_factor(step, config) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(1.0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] == pytest.approx(0.01, abs=0.001)
