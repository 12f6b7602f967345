"""The parts of the study that need votes, as sections of the report."""

from __future__ import annotations

from collections.abc import Sequence

from affectbench.datasets.labels import MIN_VOTES
from affectbench.study.agreement import MIN_FACES, agreement
from affectbench.study.faces import LabelledFaces
from affectbench.study.judged import Judged
from affectbench.study.people import calibration, disagreements, recalls
from affectbench.study.report import Section
from affectbench.study.votes import Voted, voted_faces


def people_sections(judged: Sequence[Judged], faces: LabelledFaces, seed: int) -> list[Section]:
    """Return the parts (g) to (i) for a set with votes; none for a set without."""
    if faces.votes is None:
        return []
    voted = voted_faces(faces)
    count = _count(faces, voted)
    return [
        Section("agreement", _AGREES, f"{count} {_AGREEMENT}", agreement(judged, voted, seed)),
        Section("calibration", _IS_SHARE, _CALIBRATION, calibration(judged, voted, seed)),
        Section("vote-recall", _PER_CLASS, _RECALL, recalls(judged, voted)),
        Section("disagreement", _WHERE, _DISAGREEMENT, disagreements(judged, voted)),
    ]


def _count(faces: LabelledFaces, voted: Voted) -> str:
    text = (
        f"{len(voted)} of {len(faces)} faces have at least {MIN_VOTES} votes for the seven "
        "expressions; the parts (g) to (i) are about these, and leave votes for contempt, unknown "
        "and not-a-face out."
    )
    if len(voted) < MIN_FACES:
        text += f" n too small: agreement needs {MIN_FACES} such faces."
    return text


_AGREES = "(g) Agreement with people: ECM of the judge against ECM of the votes"
_AGREEMENT = (
    "`spearman`: over random pairs of faces, with its 95 % interval (bootstrap by face). The last "
    "row is the ceiling: what a measure could reach that knew how everybody would vote. `of "
    "ceiling`: the correlation divided by it."
)
_IS_SHARE = "(h) Is the judge's reading the share of people who see each expression?"
_CALIBRATION = (
    "`hellinger`, `kl`: mean distance of the reading to the votes, and mean KL(votes, judge) in "
    "nats. `ece first`, `ece each`: calibration error of the first choice, and mean of the seven, "
    "against shares of votes. Over the `clear` faces, where over half of all who voted agree: "
    "`accuracy`, and `balanced`, its mean over the expressions."
)
_PER_CLASS = "(h) Which of people's expressions does the judge see?"
_RECALL = "`recall`: of the clear faces of an expression, the share that the judge reads so."
_WHERE = "(i) The faces whose votes the judge's reading is farthest from"
_DISAGREEMENT = "By Hellinger distance; listed by file name, no picture leaves the data set."
