"""HR and LR faces under a test protocol, and the validation of protocols.

HR is the square face, reduced to `hr_size` if it is larger; LR is HR reduced by `scale` with the
same kernel. Both are uint8, so LR is exactly what a file would hold. Nothing is ever enlarged: an
HR face with invented detail would not be a reference.
"""

from __future__ import annotations

from typing import get_args

from affectbench.errors import InputError, UnknownNameError
from affectbench.images.reading import Pixels
from affectbench.images.resizing import resize
from affectbench.types import Kernel, TestProtocol

SCALES = (2, 4, 8, 16)


def validate(protocol: TestProtocol) -> None:
    """Raise InputError or UnknownNameError for a protocol under which no face can be made."""
    scale, size = protocol.scale, protocol.hr_size
    if scale not in SCALES:
        raise InputError(f"--scale {scale}: the scale is one of {', '.join(map(str, SCALES))}")
    if protocol.kernel not in get_args(Kernel):
        raise UnknownNameError(
            f"unknown kernel '{protocol.kernel}'; known: {', '.join(get_args(Kernel))}"
        )
    if size is not None and (size < scale or size % scale):
        nearest = max(scale, size - size % scale)
        raise InputError(
            f"--hr-size {size}: must be a multiple of the scale {scale}, such as {nearest}"
        )


def face_pair(pixels: Pixels, protocol: TestProtocol, name: str) -> tuple[Pixels, Pixels]:
    """Return HR (S, S, 3) and LR (S/s, S/s, 3), uint8, of a square face (H, H, 3) with H >= S.

    Without an `hr_size`, HR is the image itself, of any shape, and LR has its sides divided by the
    scale and rounded down. Raises InputError, starting with `name`, for a face that is not square
    or smaller than HR, and whatever `validate` raises.
    """
    validate(protocol)
    height, width = pixels.shape[:2]
    size, scale = protocol.hr_size, protocol.scale
    if size is None:
        low = max(height // scale, 1), max(width // scale, 1)
        return pixels, resize(pixels, *low, protocol.kernel)
    if height != width:
        raise InputError(
            f"{name}: is {width}x{height} pixels, and faces have to be square; crop the face first "
            "(stretching it would change the expression)"
        )
    if height < size:
        raise InputError(f"{name}: is {width}x{height} pixels, {_too_small(height, protocol)}")
    hr = pixels if height == size else resize(pixels, size, size, protocol.kernel)
    return hr, resize(hr, size // scale, size // scale, protocol.kernel)


def given_pair(hr: Pixels, lr: Pixels, protocol: TestProtocol, name: str) -> tuple[Pixels, Pixels]:
    """Return HR and LR of one face as they are; InputError if they are not of the protocol's sizes.

    LR faces that exist already come from a degradation of their own, so nothing is resized.
    """
    height, width = hr.shape[:2]
    size, scale = protocol.hr_size or height, protocol.scale
    if (height, width) != (size, size):
        side = f"; --hr-size {height} fits" if height == width else ""
        raise InputError(
            f"{name}: is {width}x{height} pixels; with --lr nothing is resized, so originals must "
            f"have {size}x{size}{side}"
        )
    low = size // scale
    if lr.shape[:2] != (low, low):
        raise InputError(
            f"{name}: its LR face is {lr.shape[1]}x{lr.shape[0]} pixels, and HR ({size}x{size}) "
            f"over the scale, {scale}, is {low}x{low}; see --scale and --hr-size"
        )
    return hr, lr


def _too_small(side: int, protocol: TestProtocol) -> str:
    if side < protocol.scale:
        return f"which is too small for scale {protocol.scale}"
    fits = side - side % protocol.scale
    return (
        f"smaller than HR ({protocol.hr_size}x{protocol.hr_size}), and faces are never enlarged; "
        f"--hr-size {fits} or less fits"
    )
