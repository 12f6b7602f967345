"""The words for expressions: one source for every spelling that data sets and judges use.

"Happy", "HAPPY", "happiness" and "joy" are one word, `happy`. A word that is not known is refused:
a label that no judge can give would only look like a judge that is always wrong.
"""

from __future__ import annotations

import unicodedata

from affectbench.errors import InputError, closest

CONTEMPT = "contempt"
"""An expression, but no class of the bundled judges."""

NOT_EXPRESSIONS = ("unknown", "nf")
"""Answers in tables of votes that name no expression: "unknown", and "not a face"."""

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
    """Return a word without capitals, compatibility forms and surrounding spaces."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def find_expression(text: str) -> str | None:
    """Return the expression (`EXPRESSIONS` or `contempt`) that a word means, else None.

    >>> find_expression("Happiness"), find_expression("ANGER"), find_expression("age")
    ('happy', 'angry', None)
    """
    return _WORDS.get(plain_word(text))


def expression_word(text: str) -> str:
    """Return the expression that a word means, as `find_expression` does.

    Raises InputError, with a suggestion, for a word that is not known.
    """
    if found := find_expression(text):
        return found
    close = close_expression(text)
    hint = f"did you mean '{close}'?" if close else f"known: {', '.join(_SPELLINGS)}"
    raise InputError(f"unknown expression '{text}'; {hint}")


def close_expression(text: str) -> str | None:
    """Return the expression that a misspelt word may mean, else None."""
    close = closest(plain_word(text), _WORDS, cutoff=0.7)
    return _WORDS[close] if close else None
