"""Expression labels: the one mapping from every spelling in data sets and judges to its label.

"Happy", "HAPPY", "happiness" and "joy" all map to `happy`. Unknown words are rejected: a label that
no judge can predict would look like a judge that is always wrong.
"""

from __future__ import annotations

import unicodedata

from affectbench.errors import InputError, closest

CONTEMPT = "contempt"
"""An expression that is not a class of the bundled judges."""

NOT_EXPRESSIONS = ("unknown", "nf")
"""Answers in vote tables that name no expression: "unknown", and "not a face"."""

_SPELLINGS = {
    "angry": ("anger",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "happy": ("happiness", "joy"),
    "neutral": ("neutrality",),
    "sad": ("sadness",),
    "surprise": ("surprised",),
    CONTEMPT: ("contemptuous",),
}

_WORDS = {word: name for name, others in _SPELLINGS.items() for word in (name, *others)}


def plain_word(text: str) -> str:
    """Normalise a word: case folded, NFKC, without surrounding spaces."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def find_expression(text: str) -> str | None:
    """Return the expression label (`EXPRESSIONS` or `contempt`) of a word, else None.

    >>> find_expression("Happiness"), find_expression("ANGER"), find_expression("age")
    ('happy', 'angry', None)
    """
    return _WORDS.get(plain_word(text))


def expression_word(text: str) -> str:
    """Return the expression label of a word, like `find_expression`.

    Raises InputError, with a suggestion, for an unknown word.
    """
    if found := find_expression(text):
        return found
    close = close_expression(text)
    hint = f"did you mean '{close}'?" if close else f"known: {', '.join(_SPELLINGS)}"
    raise InputError(f"unknown expression '{text}'; {hint}")


def close_expression(text: str) -> str | None:
    """Return the expression label closest to a misspelt word, else None."""
    close = closest(plain_word(text), _WORDS, cutoff=0.7)
    return _WORDS[close] if close else None
