"""Faces with enough votes, and a judge's predictions in the same terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from affectbench.datasets.labels import MIN_VOTES
from affectbench.errors import InputError, listed
from affectbench.study.faces import LabelledFaces
from affectbench.study.judged import HR, Judged
from affectbench.study.pairs import Floats
from affectbench.types import EXPRESSIONS

_NO_VOTE = 1e-300
"""Replaces a share of 0 before taking logarithms; its square root is 0 to 150 digits."""


@dataclass(frozen=True)
class Voted:
    """M faces with at least `MIN_VOTES` votes for the seven expressions of `EXPRESSIONS`.

    `keep` is their mask in the set (N,), `votes` the counts (M, 7), `shares` these counts divided
    by their sum. `clear` marks faces for which over half of all voters, including votes for
    contempt, "unknown" or "not a face", chose the same one of the seven.
    """

    keep: NDArray[np.bool_]
    files: NDArray[np.str_]
    persons: NDArray[np.int64]
    votes: NDArray[np.int64]
    clear: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.votes)

    @property
    def shares(self) -> Floats:
        """The vote share of each expression, (M, 7)."""
        return shares(self.votes)

    @property
    def labels(self) -> NDArray[np.intp]:
        """The index of the expression with the most votes (M,), the first in a tie."""
        labels: NDArray[np.intp] = self.votes.argmax(1)
        return labels


def voted_faces(faces: LabelledFaces) -> Voted:
    """Return the faces of a set that have enough votes.

    Raises InputError for a set without a column of votes.
    """
    if faces.votes is None or faces.all_votes is None:
        raise InputError(
            f"{faces.name}: the labels hold no votes; add a column of counts for each of "
            f"{', '.join(EXPRESSIONS)}"
        )
    keep = faces.votes.sum(1) >= MIN_VOTES
    votes = faces.votes[keep]
    clear = 2 * votes.max(1, initial=0) > faces.all_votes[keep]
    return Voted(keep, faces.files[keep], faces.persons[keep], votes, clear)


def shares(votes: NDArray[np.int64]) -> Floats:
    """Return each row of counts (M, 7) divided by its sum, which must not be 0."""
    result: Floats = votes / votes.sum(1, keepdims=True)
    return result


def vote_logits(votes: NDArray[np.int64]) -> torch.Tensor:
    """Return logits (M, 7) whose softmax equals the vote shares (M, 7)."""
    return torch.from_numpy(np.log(np.maximum(shares(votes), _NO_VOTE)))


def seven_logits(judged: Judged, voted: Voted, condition: str = HR) -> torch.Tensor:
    """Return a judge's logits (M, 7) of the voted faces, in the order of `EXPRESSIONS`.

    Classes beyond the seven are dropped, so that the judge chooses among the seven, just as only
    votes for the seven are counted. Raises InputError for a judge that lacks one of them.
    """
    classes = judged.judge.classes
    missing = [name for name in EXPRESSIONS if name not in classes]
    if missing:
        raise InputError(
            f"the judge {judged.name} has no class {listed(missing)}, which have votes"
        )
    columns = [classes.index(name) for name in EXPRESSIONS]
    return judged.logits[condition][torch.from_numpy(voted.keep)][:, columns]
