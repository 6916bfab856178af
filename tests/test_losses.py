"""The objectives, against sums done by hand, slow obvious versions, and their gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from siamese_search.calibration.metrics import contrastive_cost
from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR, UNKNOWN
from siamese_search.training.losses import (
    all_distances,
    batch_contrastive_loss,
    contrastive_loss,
    distances,
    distillation_loss,
    info_nce_loss,
    koleo_loss,
    safe_root,
    targets_of,
)


def slow_contrastive(distance: list[float], label: list[int], margin: float) -> float:
    """Return the loss in the words of its definition, one pair after the other."""
    total = 0.0
    for d, y in zip(distance, label, strict=True):
        if y == SIMILAR:
            total += d * d
        elif d < margin:
            total += (margin - d) ** 2
    return total / len(distance)


def unit_vectors(n: int, dim: int, *, seed: int = 0) -> Tensor:
    """Return random embeddings in double precision."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, dim, generator=generator, dtype=torch.float64), dim=1)


def test_contrastive_loss_by_hand() -> None:
    """Similar at 0.5 costs 0.25; dissimilar at 0.25 costs 0.5625, at 1.5 nothing; the mean is over all pairs."""
    loss = contrastive_loss(torch.tensor([0.5, 0.25, 1.5]), torch.tensor([0, 1, 1]))
    assert loss.item() == pytest.approx((0.25 + 0.5625 + 0) / 3)


@pytest.mark.parametrize(
    ("distance", "label", "expected"),
    [
        (0.0, SIMILAR, 0.0),
        (0.0, DISSIMILAR, 1.0),
        (1.0, SIMILAR, 1.0),
        (1.0, DISSIMILAR, 0.0),
        (2.0, SIMILAR, 4.0),
        (2.0, DISSIMILAR, 0.0),
    ],
)
def test_contrastive_loss_of_one_pair(distance: float, label: int, expected: float) -> None:
    """At distance 0, at the margin, and at the far end, each label alone."""
    assert contrastive_loss(torch.tensor([distance]), torch.tensor([label])).item() == pytest.approx(expected)


@given(
    st.lists(st.tuples(st.floats(0, 2, width=32), st.sampled_from([SIMILAR, DISSIMILAR])), min_size=1, max_size=30),
    st.floats(0.1, 2),
)
def test_contrastive_loss_is_its_definition(pairs: list[tuple[float, int]], margin: float) -> None:
    """The tensors, the plain arrays and the slow loop agree, whatever the labels, also when all are the same."""
    distance, label = [d for d, _ in pairs], [y for _, y in pairs]
    expected = slow_contrastive(distance, label, margin)
    tensors = contrastive_loss(torch.tensor(distance, dtype=torch.float64), torch.tensor(label), margin=margin)
    assert tensors.item() == pytest.approx(expected, abs=1e-9)
    assert contrastive_cost(np.array(distance), np.array(label, np.int8), margin=margin) == pytest.approx(
        expected, abs=1e-9
    )


def test_contrastive_gradient_by_hand() -> None:
    """A similar pair is pulled by 2d/n, a dissimilar one pushed by 2(margin - d)/n, beyond the margin not at all."""
    d = torch.tensor([0.5, 0.25, 1.0, 1.5], requires_grad=True)
    contrastive_loss(d, torch.tensor([0, 1, 1, 1])).backward()  # type: ignore[no-untyped-call]
    assert d.grad is not None
    assert d.grad.tolist() == pytest.approx([2 * 0.5 / 4, -2 * 0.75 / 4, 0, 0])


def test_gradients_are_those_of_small_differences() -> None:
    """All objectives, away from their kinks."""
    targets = targets_of(torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 2, 2]))
    raw = torch.randn(6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)

    def unit(x: Tensor) -> Tensor:
        return torch.nn.functional.normalize(x, dim=1)

    for objective in (batch_contrastive_loss, info_nce_loss, koleo_loss):
        assert torch.autograd.gradcheck(lambda x, f=objective: f(unit(x), targets), (raw,)), objective.__name__


def test_gradient_at_distance_zero_is_finite() -> None:
    """Equal embeddings of a similar pair, and even of a dissimilar one, give zeros, not NaN."""
    same = unit_vectors(1, 4).repeat(2, 1).requires_grad_()
    for label in (SIMILAR, DISSIMILAR):
        same.grad = None
        contrastive_loss(distances(same[:1], same[1:]), torch.tensor([label])).backward()  # type: ignore[no-untyped-call]
        assert same.grad is not None
        assert same.grad.abs().max().item() == 0


def test_safe_root() -> None:
    """The root above rounding, 0 below it and for what rounding made negative."""
    assert safe_root(torch.tensor([4.0, 1e-13, 0.0, -1e-7])).tolist() == [2.0, 0.0, 0.0, 0.0]


def test_distances_agree() -> None:
    """Row by row and all with all are the same distances, those of the definition."""
    e = unit_vectors(7, 5)
    matrix = all_distances(e)
    for i in range(7):
        for j in range(7):
            expected = math.dist(e[i].tolist(), e[j].tolist())
            assert matrix[i, j].item() == pytest.approx(expected, abs=1e-6)
            assert distances(e[i : i + 1], e[j : j + 1]).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_batch_contrastive_loss_is_its_definition(share: float) -> None:
    """Mean of the similar, and of the dissimilar by share over violating ones and over all; half each."""
    e, identity = unit_vectors(9, 3, seed=1), torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])
    targets = targets_of(identity, identity)
    targets[0, 3] = targets[3, 0] = UNKNOWN
    pull, push = [], []
    for i in range(9):
        for j in range(i + 1, 9):
            d = math.dist(e[i].tolist(), e[j].tolist())
            if targets[i, j] == SIMILAR:
                pull.append(d**2)
            elif targets[i, j] == DISSIMILAR:
                push.append(max(1 - d, 0) ** 2)
    violating = [cost for cost in push if cost > 0]
    assert violating
    expected = (sum(pull) / len(pull) + share * sum(push) / len(violating) + (1 - share) * sum(push) / len(push)) / 2
    assert batch_contrastive_loss(e, targets, violating_share=share).item() == pytest.approx(expected)


def test_batch_contrastive_loss_of_one_label() -> None:
    """Only similar, only dissimilar or only unknown pairs give finite losses: half the mean of what there is."""
    e = unit_vectors(4, 3)
    d = all_distances(e)[torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)]
    similar = torch.full((4, 4), SIMILAR, dtype=torch.int8)
    assert batch_contrastive_loss(e, similar).item() == pytest.approx(d.square().mean().item() / 2)
    apart = torch.full((4, 4), DISSIMILAR, dtype=torch.int8)
    expected = (1 - d).clamp(min=0).square().mean().item() / 2
    assert batch_contrastive_loss(e, apart, violating_share=0).item() == pytest.approx(expected)
    assert batch_contrastive_loss(e, torch.full((4, 4), UNKNOWN, dtype=torch.int8)).item() == 0


def test_info_nce_by_hand() -> None:
    """One similar pair against one dissimilar picture: softplus of the difference of their cosines over temperature."""
    e = torch.eye(3, dtype=torch.float64)
    e[1] = torch.tensor([0.6, 0.8, 0], dtype=torch.float64)
    identity = torch.tensor([0, 0, 1])
    expected = (math.log1p(math.exp((0 - 0.6) / 0.5)) + math.log1p(math.exp((0 - 0.6) / 0.5))) / 2
    loss = info_nce_loss(e, targets_of(identity, identity), temperature=0.5)
    assert loss.item() == pytest.approx(expected)


def test_info_nce_without_similar_pairs() -> None:
    """Nothing to pick costs nothing."""
    identity = torch.tensor([0, 1, 2])
    assert info_nce_loss(unit_vectors(3, 4), targets_of(identity, identity)).item() == 0


def test_info_nce_bank_only_adds() -> None:
    """Remembered dissimilar embeddings make the choice harder, remembered similar ones change nothing."""
    e, identity = unit_vectors(4, 6), torch.tensor([0, 0, 1, 1])
    targets, bank = targets_of(identity, identity), unit_vectors(5, 6, seed=9)
    alone = info_nce_loss(e, targets).item()
    strangers = targets_of(identity, torch.full((5,), 7))
    assert info_nce_loss(e, targets, bank=bank, bank_targets=strangers).item() > alone
    friends = torch.full((4, 5), SIMILAR, dtype=torch.int8)
    assert info_nce_loss(e, targets, bank=bank, bank_targets=friends).item() == pytest.approx(alone)


def test_koleo_looks_into_the_bank() -> None:
    """The nearest one in the bank counts where it is nearer than any in the batch, unless it shows the same."""
    e, identity = unit_vectors(4, 6), torch.arange(4)
    targets = targets_of(identity, identity)
    bank = e[:1] + 0.01 * unit_vectors(1, 6, seed=9)
    bank = bank / bank.norm()
    alone = koleo_loss(e, targets).item()
    near = -math.log((e[0] - bank[0]).norm().item() + 1e-6)
    apart = (e[0] - e[1:]).norm(dim=1).min().item()
    strangers, friends = torch.ones(4, 1, dtype=torch.int8), torch.tensor([[0], [1], [1], [1]], dtype=torch.int8)
    grown = koleo_loss(e, targets, bank=bank, bank_targets=strangers).item()
    assert grown >= alone + (near + math.log(apart)) / 4 - 1e-4
    assert koleo_loss(e, targets, bank=bank, bank_targets=friends).item() < grown
    assert koleo_loss(e, targets, bank=bank[:0], bank_targets=strangers[:, :0]).item() == pytest.approx(alone)


def test_distillation_wants_each_picture_and_all_relations_as_taught() -> None:
    """What is taught costs nothing, its opposite as much as can be of each picture alone, collages a fifth of that."""
    taught, alone = unit_vectors(6, 4), torch.ones(6, dtype=torch.bool)
    assert distillation_loss(taught, taught, alone=alone).item() == pytest.approx(0, abs=1e-6)
    mirrored = -taught
    assert distillation_loss(mirrored, taught, alone=alone).item() == pytest.approx(2, abs=1e-5)
    composed = distillation_loss(mirrored, taught, alone=~alone).item()
    assert composed == pytest.approx(0.4, abs=1e-5)


def test_koleo_prefers_spread() -> None:
    """Embeddings far from their nearest neighbour cost less than crowded ones."""
    identity = torch.arange(4)
    targets = targets_of(identity, identity)
    spread = torch.eye(4, dtype=torch.float64)
    crowded = torch.nn.functional.normalize(spread + 5, dim=1)
    assert koleo_loss(spread, targets).item() == pytest.approx(-math.log(math.sqrt(2)), abs=1e-5)
    assert koleo_loss(crowded, targets).item() > koleo_loss(spread, targets).item()
    assert koleo_loss(spread, torch.zeros(4, 4, dtype=torch.int8)).item() == 0
