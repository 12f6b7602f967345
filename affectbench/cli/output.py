"""Everything that the command says. The only module of `cli` that writes to a stream.

Results go to stdout, all else to stderr. What comes from outside (names of files, of models, of
keys in a pickle; messages about them) is made printable here, so that no text can move the cursor,
clear the screen or forge a line. A stream that cannot show a character gets a plainer one.
"""

from __future__ import annotations

import codecs
import os
import sys
from typing import IO

from affectbench.errors import StorageError
from affectbench.texts import printable, shown_json

_PLAIN = {"↓": "v", "↑": "^", "†": "+", "‡": "++", "∅": "0", "✗": "x", "…": "...", "→": "->"}
"""The signs of tables and notes in ASCII; other characters are written as their code."""


def say(*lines: object) -> None:
    """Lines of a result."""
    _write("".join(f"{printable(str(line))}\n" for line in lines))


def say_rendered(text: str) -> None:
    """A table that was made of printable texts, with the colours of a terminal."""
    _write(text)


def say_json(text: str) -> None:
    """A JSON text, whose meaning does not depend on what the stream can show."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _write(shown_json(text, ascii_only=codecs.lookup(encoding).name != "utf-8") + "\n")


def note(*lines: object) -> None:
    """Lines that are not the result. A stderr that is closed or full loses them, no more."""
    tell("".join(f"{printable(str(line))}\n" for line in lines))


def tell(text: str) -> None:
    """Text on stderr as it is, such as a progress that overwrites itself."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(_fitting(text, sys.stderr))
            sys.stderr.flush()
    except (OSError, ValueError):
        return


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether somebody looks at it as it is written."""
    return stream is not None and stream.isatty()


def finish() -> None:
    """Bring everything out; StorageError if stdout cannot take it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise _lost(error) from error


def drop() -> None:
    """Forget what stdout has not taken, so that nothing fails again when Python ends."""
    try:
        descriptor = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    except (AttributeError, OSError, ValueError):
        return


def hold_descriptors() -> None:
    """Let no file get the number of a standard stream that was closed by the caller."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _write(text: str) -> None:
    if sys.stdout is None:
        raise StorageError("standard output is closed: the result cannot be printed")
    try:
        sys.stdout.write(_fitting(text, sys.stdout))
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise _lost(error) from error


def _lost(error: Exception) -> StorageError:
    drop()
    reason = getattr(error, "strerror", None) or error
    return StorageError(f"standard output: the result cannot be printed ({reason})")


def _fitting(text: str, stream: IO[str]) -> str:
    """The text with plainer characters where the stream's encoding has none for it."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, _HANDLER).decode(encoding)
    return text


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or _code(c) for c in lost), error.end


def _code(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


_HANDLER = "affectbench-plainer"
codecs.register_error(_HANDLER, _plainer)
