"""How to train: one frozen set of options, readable from a TOML recipe."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from siamese_search.encoder.folder import encoder_folder, read_spec
from siamese_search.errors import OptionError

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Every option of a training run; a recipe overrides the defaults, the command line overrides the recipe."""

    # network
    architecture: str = "efficientnet-lite0"
    start: str = "imagenet"  # "imagenet", "scratch", "photo" or an encoder folder
    dim: int = 256
    input_size: int = 160  # pixels, of validation and of the finished encoder
    subject: int = 0  # of the `dim` numbers, how many tell what a picture shows; 0 = all tell which picture it is
    subject_weight: float = 0.0  # share of the squared distance that the subject decides

    # objective: the three losses of losses.py, weighted by `contrastive`, `info_nce` and `koleo`
    contrastive: float = 1.0
    margin: float = 1.0
    violating_share: float = 0.5  # of the dissimilar half, on pairs within the margin
    info_nce: float = 0.0
    temperature: float = 0.05
    koleo: float = 0.0
    subject_loss: float = 2.0  # weight of learning what a picture shows
    bank: int = 0  # embeddings of earlier batches that InfoNCE and KoLeo also compare with

    # after the last step
    steadied: float = 0.0  # power of their spread by which numbers that differ among kept views of one picture shrink
    negatives_temperature: float = 0.07  # the lower, the fewer centres an embedding is near
    negatives: int = 0  # centres of the training pictures' embeddings that the finished encoder subtracts; 0 = none

    # batches
    steps: int = 1000
    batch: int = 128  # pictures forward at once, both twins together
    per_class: int = 4  # pictures of one class in a batch, where labels are classes; 0 = as they come
    pairing: str = "all"  # pairs of a batch that count: "all", or "random": each picture has one partner
    edits: str = "photo"  # "photo", "grey" or "none"
    strength: float = 1.0  # of the edits, 0 to 1
    calm_end: float = 0.0  # last share of the steps, in which the strength falls to a third
    train_sizes: tuple[tuple[float, int], ...] = ()  # (from this fraction of the steps, pixels); () = input_size

    # optimisation
    rate: float = 3e-4
    head_rate: float = 1e-3
    warm_up: int = 200  # steps
    weight_decay: float = 0.01
    average: float = 0.998  # decay of the weight average that is validated and kept
    frozen_stages: int = 0  # of the backbone, from its input on
    kept_views: int = 0  # of each picture, whose features are kept: then the whole trunk stays as it is; 0 = none
    seed: int = 0

    # bookkeeping
    validate_every: int = 200  # steps
    checkpoint_every: int = 200
    workers: int = 2  # processes that decode and edit

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        positive = (
            "steps",
            "batch",
            "dim",
            "input_size",
            "margin",
            "temperature",
            "validate_every",
            "checkpoint_every",
        )
        for name in positive:
            if getattr(self, name) <= 0:
                raise OptionError(f"{name} is {getattr(self, name)}, expected a value above 0")
        for name in ("strength", "violating_share", "calm_end", "subject_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}, expected a value in [0, 1]")
        if self.edits not in ("photo", "grey", "none"):
            raise OptionError(f"edits is {self.edits!r}, expected photo, grey or none")
        if self.pairing not in ("all", "random"):
            raise OptionError(f"pairing is {self.pairing!r}, expected all or random")
        if not (self.contrastive or self.info_nce or (self.subject and self.kept_views)):
            raise OptionError("contrastive and info_nce are both 0: nothing would pull similar pictures together")
        self._check_parts()

    def _check_parts(self) -> None:
        if self.subject_weight == 1:
            raise OptionError("subject_weight is 1: nothing would tell which picture it is")
        if not 0 <= self.subject <= self.dim - 2:
            raise OptionError(
                f"subject is {self.subject} of {self.dim} numbers: at least 2 must tell which picture it is"
            )
        if self.steadied and not self.kept_views:
            raise OptionError("steadied tells from kept views how copies differ: give kept_views")
        if self.kept_views and self.edits != "photo":
            raise OptionError("kept_views are edited as photos are: give edits=photo")

    def strength_at(self, step: int) -> float:
        """Return the strength of the edits at a step: constant, then falling in a line to a third of it."""
        calm_steps = self.calm_end * self.steps
        into_calm = step - (self.steps - calm_steps)
        return self.strength * (1 - 2 / 3 * into_calm / calm_steps) if into_calm > 0 else self.strength

    def size_at(self, step: int) -> int:
        """Return the pixels of training pictures at a step."""
        size = self.input_size
        for fraction, pixels in self.train_sizes:
            if step >= fraction * self.steps:
                size = pixels
        return size


def load_recipe(name_or_path: str) -> TrainConfig:
    """Read a recipe that ships with the package, by name, or a TOML file; unknown options are errors."""
    path = Path(name_or_path) if name_or_path.endswith(".toml") else RECIPES / f"{name_or_path}.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise OptionError(f"{name_or_path}: no such recipe; there are {known}, or name a .toml file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"{path}: not a readable recipe ({error})") from error
    return with_options(TrainConfig(), values, source=str(path))


def with_options(config: TrainConfig, values: dict[str, Any], *, source: str) -> TrainConfig:
    """Return the config with some options replaced; unknown names and wrong types raise OptionError."""
    types = {f.name: f.type for f in fields(config)}
    if unknown := values.keys() - types.keys():
        raise OptionError(f"{source}: unknown options {', '.join(sorted(unknown))}")
    converted = dict(values)
    if "train_sizes" in converted:
        converted["train_sizes"] = tuple((float(f), int(p)) for f, p in converted["train_sizes"])
    for name, value in converted.items():
        kind = types[name]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            converted[name] = float(value)
        elif kind in (int, float, str) and type(value) is not kind:
            raise OptionError(f"{source}: {name} is {value!r}, expected {kind.__name__}")
    return replace(config, **converted)


def choose_config(recipe: str, given: Mapping[str, Any], settings: Sequence[str] = ()) -> TrainConfig:
    """Read a recipe, then `settings` such as "batch=8", then options by name that are not None.

    An encoder to start from decides the shape. Raises OptionError.
    """
    config = load_recipe(recipe)
    for setting in settings:
        try:
            values = tomllib.loads(setting if setting.count('"') else _quoted(setting))
        except tomllib.TOMLDecodeError as error:
            raise OptionError(f"--set {setting}: expected OPTION=VALUE ({error})") from error
        config = with_options(config, values, source="--set")
    config = with_options(config, {name: value for name, value in given.items() if value is not None}, source="options")
    if config.start in ("imagenet", "scratch"):
        return config
    spec = read_spec(encoder_folder(config.start))
    shape: dict[str, Any] = {"architecture": spec.architecture, "input_size": spec.input_size}
    if not config.subject:
        # Without a word about the subject, what the encoder knows of it is kept.
        shape |= {"dim": spec.dim, "subject": spec.subject, "subject_weight": spec.subject_weight}
    return with_options(config, shape, source=config.start)


def _quoted(setting: str) -> str:
    """Make `edits=none` the TOML that it stands for, and leave numbers and lists alone."""
    key, _, value = setting.partition("=")
    plain = value.strip().replace("-", "").replace("_", "").isalpha() and value.strip() not in ("true", "false")
    return f'{key} = "{value.strip()}"' if plain else setting
