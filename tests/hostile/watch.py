"""Tells another process what happens in this one: outgoing connections, programs started, pickles read, files written.

``start(descriptor)`` installs an audit hook that writes a line to a pipe for each such event. The attackers' own payloads
call ``sys.audit("hostile.code_ran")``, which nothing else does. Only ``arm()`` begins to report: what a program does
while it starts is its own business.
"""

from __future__ import annotations

import os
import sys
from typing import Any

CODE_RAN = "hostile.code_ran"
EVENTS = frozenset(
    {"socket.connect", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.fork"}
    | {"os.posix_spawn", "pickle.find_class", "ctypes.dlopen", "webbrowser.open", "urllib.Request"}
    | {"os.remove", "os.rename", "shutil.rmtree", CODE_RAN}
)

_descriptor = -1
_allowed: tuple[str, ...] = ()


def start(descriptor: int) -> None:
    """Install the hook. Argument: where lines are written to."""
    sys.addaudithook(_hook)
    globals()["_descriptor"] = -descriptor - 2  # not armed yet


def arm(*allowed: str) -> None:
    """Begin to report. Arguments: texts that stand in the lines of events which are the program's own wish."""
    globals()["_allowed"] = allowed
    globals()["_descriptor"] = -_descriptor - 2


def allow(*texts: str) -> None:
    """Replace the texts that stand in events which are the program's own wish."""
    globals()["_allowed"] = texts


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _descriptor < 0 or (event not in EVENTS and event != "open"):
        return
    if event == "open":
        mode = arguments[1] if len(arguments) > 1 else None
        if not isinstance(mode, str) or not set(mode) & set("wax+"):
            return
    if event == "ctypes.dlopen" and arguments == (None,):
        return  # importing ctypes, as NumPy does, opens the program itself
    shown = ["a socket" if type(item).__module__ in ("socket", "_socket", "ssl") else ascii(item) for item in arguments]
    line = f"{event} {' '.join(shown)}"[:300]
    if not any(text in line for text in _allowed):
        os.write(_descriptor, line.encode() + b"\n")
