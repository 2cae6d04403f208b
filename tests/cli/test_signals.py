"""Servers end cleanly with either signal, and with both at once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from server_process import ServerProcess

PROGRAM = """\
import signal, threading
from fastpyro.cli.signals import stop_on_signals
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
stop_on_signals()
try:
    print("ready", flush=True)
    threading.Event().wait(30)
except KeyboardInterrupt:
    print("closing", flush=True)
    threading.Event().wait(FINISH)
    print("closed", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_interrupts(number: int, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("FINISH", "0"))
    root = Path(__file__).parent.parent.parent
    with ServerProcess(program, environment={"PYTHONPATH": str(root)}) as process:
        process.wait_for("^ready\n")
        process.process.send_signal(number)
        assert process.wait_for_end() == 0, process.output
        assert process.output.endswith("closed\n")


def test_terminating_twice_does_not_disturb_the_closing(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("FINISH", "0.2"))
    root = Path(__file__).parent.parent.parent
    with ServerProcess(program, environment={"PYTHONPATH": str(root)}) as process:
        process.wait_for("^ready\n")
        process.process.terminate()
        process.wait_for("^closing\n")
        process.process.terminate()
        assert process.wait_for_end() == 0, process.output
        assert process.output.endswith("closed\n")
