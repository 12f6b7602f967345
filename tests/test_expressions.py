"""One source for the words of expressions: every spelling is one word, any other is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from affectbench.datasets.labels import most_voted, read_label_table
from affectbench.errors import InputError
from affectbench.expressions import CONTEMPT, expression_word, find_expression
from affectbench.types import EXPRESSIONS

SPELLINGS = {
    "angry": ("Angry", "anger", "ANGER"),
    "disgust": ("Disgust", "disgusted"),
    "fear": ("Fear", "fearful", "afraid"),
    "happy": ("Happy", "happiness", "HAPPY", " happy "),
    "neutral": ("Neutral", "neutrality"),
    "sad": ("Sad", "sadness"),
    "surprise": ("Surprise", "surprised", "SURPRISE"),
    "contempt": ("Contempt", "contempt"),
}
SEVEN = "neutral,happiness,surprise,sadness,anger,disgust,fear"


@pytest.mark.parametrize(("word", "spellings"), SPELLINGS.items(), ids=list(SPELLINGS))
def test_spellings_are_one_word(word: str, spellings: tuple[str, ...]) -> None:
    assert {expression_word(text) for text in (word, *spellings)} == {word}


def test_every_class_of_the_judges_has_its_spellings() -> None:
    assert set(SPELLINGS) == {*EXPRESSIONS, CONTEMPT}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hapy", "did you mean 'happy'"),
        ("suprise", "did you mean 'surprise'"),
        ("sadnes", "did you mean 'sad'"),
        ("3", "known: angry, disgust"),
        ("glücklich", "known: angry"),
        ("unknown", "known: angry"),
        ("", "known: angry"),
    ],
)
def test_any_other_word_is_refused_with_a_hint(text: str, says: str) -> None:
    assert find_expression(text) is None
    with pytest.raises(InputError, match=says):
        expression_word(text)


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_a_table_is_read_in_one_vocabulary(tmp_path: Path) -> None:
    text = "File,Emotion,person\na.png,Happy,x\nb.png,SADNESS,x\nc.png,anger,y\n"
    for encoding in ("utf-8", "utf-8-sig"):
        read = read_label_table(table(tmp_path, text, encoding))
        assert read.emotions.tolist() == ["happy", "sad", "angry"]
        assert read.persons.tolist() == ["x", "x", "y"]
        assert read.votes is None


def test_votes_stand_in_the_order_of_the_expressions_in_any_spelling(tmp_path: Path) -> None:
    head = f"file,{SEVEN},contempt,unknown,NF\n"
    read = read_label_table(table(tmp_path, f"{head}a.png,1,2,3,4,5,6,7,8,9,10\n"))
    assert read.votes is not None and read.all_votes is not None
    assert dict(zip(EXPRESSIONS, read.votes[0].tolist(), strict=True)) == {
        "neutral": 1,
        "happy": 2,
        "surprise": 3,
        "sad": 4,
        "angry": 5,
        "disgust": 6,
        "fear": 7,
    }
    assert read.all_votes.tolist() == [55]
    assert read.emotions.tolist() == ["fear"]
    capitals = head.upper().replace("FILE", "file").replace("HAPPINESS", "Happy")
    again = read_label_table(table(tmp_path, f"{capitals}a.png,1,2,3,4,5,6,7,8,9,10\n"))
    assert again.votes is not None
    assert np.array_equal(again.votes, read.votes)


def test_the_label_beside_votes_is_kept_and_without_one_the_most_voted_is_taken(
    tmp_path: Path,
) -> None:
    rows = "a.png,{}0,9,1,0,0,0,0\nb.png,{}5,5,0,0,0,0,0\nc.png,{}0,0,0,0,0,0,0\n"
    alone = read_label_table(table(tmp_path, f"file,{SEVEN}\n" + rows.format("", "", "")))
    assert alone.emotions.tolist() == ["happy", "", ""]  # a tie and no votes give no label
    both = f"file,emotion,{SEVEN}\n" + rows.format("sad,", "Fear,", "Neutral,")
    assert read_label_table(table(tmp_path, both)).emotions.tolist() == ["sad", "fear", "neutral"]
    assert most_voted(np.zeros((1, 7), dtype=np.int64)).tolist() == [""]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,emotion\na.png,hapy\n", "a.png: unknown expression 'hapy'; did you mean 'happy'"),
        ("file,emotion\na.png,\n", "a.png has no emotion"),
        ("file,emotion\na.png\n", "a.png has no emotion"),
        ("file,emotion\na.png,NF\n", "unknown expression 'NF'"),
        ("file,emotion\na.png,sad\na.png,happy\n", "lists a.png more than once"),
        ("file,mood\na.png,happy\n", "no column emotion and no votes"),
        ("name,emotion\na.png,happy\n", "no column file"),
        ("file,emotion\n", "lists no faces"),
        ("", "cannot be read"),
        (f"file,{SEVEN}\na.png,1,-2,0,0,0,0,0\n", "a.png has '-2' votes for happiness"),
        (f"file,{SEVEN}\na.png,1,0.5,0,0,0,0,0\n", "a.png has '0.5' votes for happiness"),
        (f"file,{SEVEN}\na.png,1,,0,0,0,0,0\n", "a.png has '' votes for happiness"),
        (f"file,{SEVEN}\na.png,1,many,0,0,0,0,0\n", "a.png has 'many' votes"),
        (f"file,{SEVEN}\na.png,1,inf,0,0,0,0,0\n", "a.png has 'inf' votes"),
        (f"file,{SEVEN}\na.png,1,nan,0,0,0,0,0\n", "a.png has 'nan' votes"),
        (f"file,{SEVEN}\na.png,1,1e30,0,0,0,0,0\n", "a.png has '1e30' votes"),
        (f"file,{SEVEN}\na.png,1,2\n", "votes for surprise"),
        ("file,neutral,happy\na.png,1,2\n", "no column for angry, disgust, fear, sad, surprise"),
        ("file,happy,sad,fear,neutral,disgust,anger,suprise\na.png,1,1,1,1,1,1,1\n", "suprise"),
        (f"file,{SEVEN},happy\na.png,1,1,1,1,1,1,1,1\n", "happiness and happy both hold votes"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=r"labels\.csv") as caught:
        read_label_table(table(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value).strip()
