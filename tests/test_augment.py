"""The edits that training makes similar pairs of."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese_search.images.edits import EDITS, edited_view


def picture(seed: int, size: tuple[int, int] = (90, 60)) -> Image.Image:
    """Return a smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def other(**_: bool) -> Image.Image:
    """Return the picture that is pasted, blended and tiled."""
    return picture(99, (40, 70))


@pytest.mark.parametrize("edit", [edit for _, edit in EDITS], ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("size", [(90, 60), (16, 16), (40, 120)])
def test_every_edit_gives_an_rgb_picture(edit: object, size: tuple[int, int]) -> None:
    """Each edit, at any strength and for narrow pictures, gives a picture in RGB and leaves its input alone."""
    assert callable(edit)
    for seed, strength in enumerate((0.0, 0.2, 0.7, 1.0) * 3):
        given_picture = picture(seed, size)
        before = given_picture.tobytes()
        edited = edit(given_picture, Random(seed), strength, other)
        assert edited.mode == "RGB"
        assert min(edited.size) >= 8
        assert given_picture.tobytes() == before


@given(seed=st.integers(0, 2**32), strength=st.floats(0, 1), size=st.sampled_from((24, 64)))
def test_views_are_a_function_of_the_seed(seed: int, strength: float, size: int) -> None:
    """The same seed gives the same view, of the size asked for."""
    views = [edited_view(picture(3), size=size, strength=strength, rng=Random(seed), other=other) for _ in range(2)]
    assert views[0].shape == (size, size, 3)
    assert views[0].dtype == np.uint8
    assert np.array_equal(*views)


def test_strength_is_strength() -> None:
    """Stronger edits change pictures more, on the whole."""

    def change(strength: float) -> float:
        plain = np.asarray(picture(5).resize((64, 64), Image.Resampling.BICUBIC), np.float32)
        views = [
            edited_view(picture(5), size=64, strength=strength, rng=Random(seed), other=other) for seed in range(60)
        ]
        return float(np.mean([np.abs(view - plain).mean() for view in views]))

    assert change(0.0) < change(0.3) < change(1.0)
