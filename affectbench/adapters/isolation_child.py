"""The child process that runs an isolated model: see `adapters.isolation`."""

from __future__ import annotations

import importlib
import os
from multiprocessing.connection import wait
from typing import Any, cast

import torch

from affectbench.adapters import parse_model
from affectbench.adapters.adapted import plain_tensor
from affectbench.adapters.containment import contained
from affectbench.adapters.global_state import set_portable_state
from affectbench.adapters.identity import Watched
from affectbench.adapters.messages import packed, receive, send, unpacked
from affectbench.errors import AffectBenchError
from affectbench.types import Model, as_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def serve(asked: int, answering: int, lifeline: int) -> None:
    """Serve requests in the child until the parent closes the pipe."""
    for number in (asked, answering, lifeline):
        os.set_inheritable(number, False)
    _end_with(lifeline)
    requests, replies, served = os.fdopen(asked, "rb"), os.fdopen(answering, "wb"), _Served()
    while True:
        try:
            header, data = receive(requests)
        except EOFError:
            return
        try:
            send(replies, *served.answer(header, data))
        except AffectBenchError as error:
            send(replies, {"error": str(error)})
        except KeyboardInterrupt:  # raised by the model: Ctrl-C does not reach this session
            send(replies, {"error": f"{header['argument']}: raised KeyboardInterrupt"})


class _Served:
    """The model in the child."""

    _model: Model
    _device: torch.device

    def answer(self, header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Handle one request."""
        if header["do"] == "start":
            set_portable_state(header["state"])
            return {}, b""
        if header["do"] == "load":
            self._device = torch.device(header["device"])
            asked = header["scale"], self._device, header["lr_size"]
            self._model = cast(Model, parse_model(header["argument"]).load(*asked))
            return {"spec": as_json(self._model.spec)}, b""
        watched = self._model if isinstance(self._model, Watched) else None
        if header["do"] == "spec":
            return {"spec": as_json(watched.final_spec() if watched else self._model.spec)}, b""
        lr, name = unpacked(header, data).to(self._device), self._model.spec.name
        with contained(name, header.get("seed", 0)):
            if header["do"] == "apply":
                measure = getattr(importlib.import_module(header["module"]), header["function"])
                return {"result": measure(self._model, lr)}, b""
            with torch.inference_mode():
                about, data = packed(plain_tensor(self._model(lr), name))
            return {**about, "lacks": watched.unforeseen if watched else ""}, data


def _end_with(lifeline: int) -> None:
    """Have the kernel end this process group once the other end of the pipe is closed."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if wait([lifeline], 0):  # it is closed already
        raise SystemExit
