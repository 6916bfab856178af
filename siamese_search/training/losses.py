"""The objectives, as pure functions of embeddings and of what is known about their pairs.

Everywhere a *label* is 0 for a similar pair and 1 for a dissimilar one; in the matrices of a batch, -1 marks a pair of
which nothing is known. Distances are Euclidean, never squared.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from siamese_search.calibration.pairs import DISSIMILAR, SIMILAR

_COMPOSED = 0.2  # weight of a view that shows several pictures
_RELATIONS = 5.0


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the row-by-row Euclidean distance: two (n, dim) -> (n,).

    The gradient at distance 0 is 0, where that of a plain square root would be infinite.
    """
    squared = (first - second).square().sum(dim=1)
    return safe_root(squared)


def all_distances(embeddings: Tensor) -> Tensor:
    """Return the distances of all pairs of unit vectors in a batch: (n, dim) -> (n, n), the diagonal about 0."""
    return safe_root(2 - 2 * embeddings @ embeddings.T)


def safe_root(squared: Tensor) -> Tensor:
    """Return the square root, with value and gradient 0 where the argument is not above 1e-12."""
    positive = squared > 1e-12  # noqa: PLR2004  (below it, rounding decides)
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)


def contrastive_loss(distance: Tensor, label: Tensor, *, margin: float = 1.0) -> Tensor:
    """Return `mean((1 - y) d^2 + y max(margin - d, 0)^2)`, the contrastive loss.

    `distance` (n,) >= 0, `label` (n,) with y = 0 for similar and 1 for dissimilar pairs, `margin` > 0: the distance
    beyond which dissimilar pairs cost nothing. Hadsell, Chopra & LeCun, "Dimensionality reduction by learning an
    invariant mapping" (2006), without their factor of one half.
    """
    y = label.to(distance.dtype)
    return ((1 - y) * distance.square() + y * (margin - distance).clamp(min=0).square()).mean()


def batch_contrastive_loss(
    embeddings: Tensor, targets: Tensor, *, margin: float = 1.0, violating_share: float = 0.5
) -> Tensor:
    """Return the contrastive loss over all known pairs in a batch, similar and dissimilar in balance.

    `embeddings` (n, dim) of unit length, `targets` (n, n) of labels. Dissimilar pairs beyond the margin cost nothing
    and outnumber the rest, so `violating_share` (in [0, 1]) of the dissimilar half is averaged over the pairs that
    violate the margin only; 0 gives the plain mean.
    """
    d = all_distances(embeddings)
    upper = torch.ones_like(targets, dtype=torch.bool).triu(1)
    similar = d[upper & (targets == SIMILAR)]
    dissimilar = d[upper & (targets == DISSIMILAR)]
    pull = similar.square().sum() / max(similar.numel(), 1)
    cost = (margin - dissimilar).clamp(min=0).square()
    violating = (cost > 0).sum().clamp(min=1)
    push = cost.sum() * (violating_share / violating + (1 - violating_share) / max(dissimilar.numel(), 1))
    return (pull + push) / 2


def info_nce_loss(
    embeddings: Tensor,
    targets: Tensor,
    *,
    temperature: float = 0.05,
    bank: Tensor | None = None,
    bank_targets: Tensor | None = None,
) -> Tensor:
    """Return the InfoNCE loss: each embedding must pick its similar ones out of all dissimilar ones.

    `embeddings` (n, dim) of unit length, `targets` (n, n) of labels. `bank` (m, dim) holds embeddings of earlier
    batches as further dissimilar ones, `bank_targets` (n, m) their labels (Wang et al., "Cross-batch memory", 2020).
    With several similar ones, each is picked against the dissimilar ones alone (van den Oord et al., "Contrastive
    predictive coding", 2018; Khosla et al., "Supervised contrastive learning", 2020). 0 without similar pairs.
    """
    logits = embeddings @ embeddings.T / temperature
    negatives = logits.masked_fill(targets != DISSIMILAR, float("-inf"))
    if bank is not None and bank_targets is not None:
        remembered = embeddings @ bank.T / temperature
        negatives = torch.cat([negatives, remembered.masked_fill(bank_targets != DISSIMILAR, float("-inf"))], dim=1)
    against = torch.logsumexp(negatives, dim=1, keepdim=True)  # (n, 1)
    positive = (targets == SIMILAR) & ~torch.eye(len(targets), dtype=torch.bool, device=targets.device)
    if not positive.any():
        return embeddings.sum() * 0
    return F.softplus((against - logits)[positive]).mean()


def koleo_loss(
    embeddings: Tensor, targets: Tensor, *, bank: Tensor | None = None, bank_targets: Tensor | None = None
) -> Tensor:
    """Return the Kozachenko-Leonenko entropy loss: `-mean(log(distance to the nearest not-similar embedding))`.

    Spreads embeddings evenly over the sphere, so that one distance means the same everywhere (Sablayrolles et al.,
    "Spreading vectors for similarity search", 2019; Pizzi et al., "SSCD", 2022). `bank` (m, dim) and `bank_targets`
    (n, m) as for InfoNCE: a batch alone seldom holds a picture's look-alikes. 0 when everything is similar.
    """
    apart = all_distances(embeddings).masked_fill(targets == SIMILAR, float("inf"))
    apart.fill_diagonal_(float("inf"))
    nearest = apart.min(dim=1).values
    if bank is not None and bank_targets is not None and len(bank):
        remembered = safe_root(2 - 2 * embeddings @ bank.T).masked_fill(bank_targets != DISSIMILAR, float("inf"))
        nearest = torch.minimum(nearest, remembered.min(dim=1).values)
    nearest = nearest[nearest.isfinite()]
    if not len(nearest):
        return embeddings.sum() * 0
    return -(nearest + 1e-6).log().mean()


def distillation_loss(subject: Tensor, taught: Tensor, *, alone: Tensor) -> Tensor:
    """Return how far what pictures show is from what teachers say: each by itself, and in relation to one another.

    `subject` and `taught` (n, k) of unit length; `alone` (n,) tells which views show one picture, since others may be
    neither like their teacher's nor in relation to it (Park et al., "Relational knowledge distillation", 2019).
    """
    weight = torch.where(alone, 1.0, _COMPOSED)
    apart = ((1 - (subject * taught).sum(dim=1)) * weight).mean()
    relations = (subject @ subject.T - taught @ taught.T).square() * (alone[:, None] & alone[None, :])
    return apart + _RELATIONS * relations.mean()


def targets_of(identity: Tensor, others: Tensor) -> Tensor:
    """Return the labels of all pairs from who is shown: (n,), (m,) -> (n, m), 0 where equal, 1 elsewhere."""
    return (identity[:, None] != others[None, :]).to(torch.int8)
