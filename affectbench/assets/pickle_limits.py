"""Resource limits for untrusted pickles, checked before any object is built.

A few bytes of a pickle can allocate gigabytes (a memo index, a `bytearray`), crash the process by
recursion (hashing a deep tuple as a key), or loop forever (a tuple of the same two tuples, forty
levels deep). `require_bounded` interprets the opcodes with a shadow stack that holds the depth and
the size of each object, never an object.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterator
from typing import Any

MAX_OPCODES = 2_000_000
MAX_DEPTH = 500
"""Nested containers; pickled networks nest about 30 deep."""
MAX_HASHED = 1_000_000
"""Objects visited by the hash of one tuple, shared ones once per visit."""

_MARK = object()
_MEMO_SLACK = 65_536
"""How far a memo index may exceed the memo's size: the unpickler allocates up to the index."""
_HASHED = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET"}
"""Opcodes whose objects are hashed by content; all others are hashed by identity or not at all."""
_ALLOCATES = {"builtins bytearray", "__builtin__ bytearray"}
"""Callables that torch's reader allows and that can allocate gigabytes from one number."""


def most_bytes(stored: int) -> int:
    """Return the most bytes that the tensors of a file of `stored` bytes may occupy unshared."""
    return 4 * stored + (64 << 20)


class UnboundedPickle(pickle.UnpicklingError):
    """A pickle that could crash the process or never finish; the message names the reason."""


class _Node:
    """An object of the pickle: its nesting depth, and how many objects its hash visits."""

    __slots__ = ("depth", "visits")

    def __init__(self, depth: int = 0, visits: int = 1) -> None:
        self.depth, self.visits = depth, visits


def require_bounded(program: bytes, count: int = 1) -> int:
    """Check `count` pickles that follow each other in `program`; return where the last one ends.

    Raises UnboundedPickle if one has more than `MAX_OPCODES` opcodes, nests deeper than
    `MAX_DEPTH`, has a tuple whose hash visits more than `MAX_HASHED` objects, or asks for memory
    that the file does not hold. Opcodes that are cut off or unknown raise ValueError.
    """
    stream, left = io.BytesIO(program), MAX_OPCODES
    for _ in range(count):
        left = _follow(stream, left)
    return stream.tell()


def _follow(stream: io.BytesIO, left: int) -> int:
    shadow = _Shadow()
    for opcode, argument, _ in pickletools.genops(stream):
        left -= 1
        if left < 0:
            raise UnboundedPickle(f"it has more than {MAX_OPCODES:,} opcodes")
        shadow.step(opcode, argument)
    return left


class _Shadow:
    """The stack and the memo of an unpickler, reduced to depths and sizes."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, _Node] = {}

    def step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Apply the effect of an opcode to the shadow stack."""
        name = opcode.name
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._remember(len(self._memo) if name == "MEMOIZE" else argument)
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo.get(argument, _Node()))
        elif name == "MARK":
            self._stack.append(_MARK)
        elif name == "DUP":
            self._stack.append(self._top())
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"):
            taken = list(self._taken(opcode, keep=1))
            _fill(self._top(), taken, hashed=False)
        elif name in ("GLOBAL", "INST") and argument in _ALLOCATES:
            raise UnboundedPickle(f"it calls {argument}, which is no part of weights")
        else:
            self._make(opcode)

    def _make(self, opcode: pickletools.OpcodeInfo) -> None:
        """Replace the objects that an opcode consumes by the one that it creates."""
        taken = list(self._taken(opcode, keep=0))
        for _ in opcode.stack_after:
            made = _Node()
            _fill(made, taken, hashed=opcode.name in _HASHED)
            self._stack.append(made)

    def _taken(self, opcode: pickletools.OpcodeInfo, keep: int) -> Iterator[_Node]:
        """Pop and yield what the opcode consumes, except the lowest `keep` objects."""
        before = opcode.stack_before
        below = len(before)
        if pickletools.markobject in before:
            below = before.index(pickletools.markobject)
            while self._stack and (top := self._stack.pop()) is not _MARK:
                yield top
        for _ in range(below - keep):
            if self._stack and (top := self._stack.pop()) is not _MARK:
                yield top

    def _top(self) -> _Node:
        if not self._stack or not isinstance(self._stack[-1], _Node):
            raise UnboundedPickle("its stack is empty where it needs an object")
        return self._stack[-1]

    def _remember(self, index: int) -> None:
        if index > len(self._memo) + _MEMO_SLACK:
            raise UnboundedPickle(f"its memo jumps from index {len(self._memo)} to {index}")
        self._memo[index] = self._top()


def _fill(made: _Node, parts: list[_Node], *, hashed: bool) -> None:
    made.depth = max([made.depth, *(part.depth + 1 for part in parts)])
    if hashed:
        made.visits += sum(part.visits for part in parts)
    if made.depth > MAX_DEPTH:
        raise UnboundedPickle(f"it nests deeper than {MAX_DEPTH} containers")
    if made.visits > MAX_HASHED:
        raise UnboundedPickle("a tuple of it holds the same objects many times over")
