"""All output of the command; the only module of `cli` that writes to a stream.

Results go to stdout, everything else to stderr. Untrusted text (names of files, models and pickle
keys, and messages that contain them) is escaped here, so that it cannot move the cursor, clear the
screen or forge a line. Characters that a stream cannot encode are replaced by plainer ones.
"""

from __future__ import annotations

import codecs
import os
import sys
from typing import IO

from affectbench.errors import StorageError
from affectbench.texts import printable, shown_json

_PLAIN = {"↓": "v", "↑": "^", "†": "+", "‡": "++", "∅": "0", "✗": "x", "…": "...", "→": "->"}
"""ASCII equivalents of the signs in tables and notes; other characters become escape codes."""


def say(*lines: object) -> None:
    """Print lines of a result."""
    _write("".join(f"{printable(str(line))}\n" for line in lines))


def say_rendered(text: str) -> None:
    """Print a table built from printable texts, with terminal colours."""
    _write(text)


def say_json(text: str) -> None:
    """Print JSON, escaped so that it is valid whatever the stream can encode."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _write(shown_json(text, ascii_only=codecs.lookup(encoding).name != "utf-8") + "\n")


def note(*lines: object) -> None:
    """Print lines that are not part of the result; a closed or full stderr is ignored."""
    tell("".join(f"{printable(str(line))}\n" for line in lines))


def tell(text: str) -> None:
    """Write text to stderr as it is, e.g. a progress bar that overwrites itself."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(_fitting(text, sys.stderr))
            sys.stderr.flush()
    except (OSError, ValueError):
        return


def is_terminal(stream: IO[str] | None) -> bool:
    """Return whether the stream is an interactive terminal."""
    return stream is not None and stream.isatty()


def finish() -> None:
    """Flush stdout; StorageError if that fails."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise _lost(error) from error


def drop() -> None:
    """Discard unwritten stdout, so that the flush at exit cannot fail again."""
    try:
        descriptor = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    except (AttributeError, OSError, ValueError):
        return


def hold_descriptors() -> None:
    """Reserve descriptors of closed standard streams, so that no file is opened under them."""
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
    """Return the text with characters that the stream cannot encode replaced by plainer ones."""
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
