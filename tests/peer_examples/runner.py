"""Runs one example in a folder and on ports of its own, and says whether it printed what it must.

Whatever happens, no process of an example outlives its run.
"""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from peer_examples.certificates import CertificateError, renew
from peer_examples.processes import Process
from peer_examples.programs import Answer, Example, Program

NAME_SERVERS = {4: "Pyro4.naming", 5: "Pyro5.nameserver"}
MODULES = {
    4: {"echo": "Pyro4.test.echoserver", "gateway": "Pyro4.utils.httpgateway", "console": "Pyro4.nsc"},
    5: {"echo": "Pyro5.utils.echoserver", "gateway": "Pyro5.utils.httpgateway", "console": "Pyro5.nsc"},
}

NAME_SERVER_READY = r"PYRO:Pyro\.NameServer@"
NAME_SERVER_SECONDS = 20.0

LATE_SECONDS = 5.0
"""How long the output of programs in the background may take to arrive when all others are done."""

INTERRUPT_SECONDS = 10.0

STATE_SECONDS = 0.2


class ExampleError(Exception):
    """An example did not do what it must; the text says which program and what."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """How a program of one library is started."""

    python: str
    environment: Mapping[str, str]
    facade: bool
    """Whether fastpyro stands in for the library, instead of the library itself."""

    def command(self, generation: int, script: str, arguments: Sequence[str]) -> list[str]:
        """Return the command that runs a script, or a module when `script` is `-m` and its name."""
        facade = ["-m", "fastpyro.compat", f"Pyro{generation}"] if self.facade else []
        target = script.split() if script.startswith("-m ") else [script]
        return [self.python, *facade, *target, *arguments]


@dataclass(slots=True)
class Outcome:
    """What came of one example."""

    name: str
    generation: int
    passed: bool
    seconds: float
    reason: str = ""
    outputs: list[tuple[str, str]] = field(default_factory=list)
    """Each program's name and all it printed."""


def free_port(kind: socket.SocketKind) -> int:
    """Return the number of a port that nobody used a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class Runner:
    """Runs examples, several at a time if asked from several threads."""

    def __init__(self, launcher: Launcher, folders: Mapping[int, Path]) -> None:
        """Prepare to run examples.

        Args:
            launcher: how programs are started.
            folders: where the examples of each generation lie; they are copied and never written to.
        """
        self._launcher = launcher
        self._folders = folders
        self._lock = threading.Lock()
        self._ports: dict[int, threading.Lock] = {}
        self._processes: set[Process] = set()

    def run(self, example: Example, generation: int) -> Outcome:
        """Run an example from its first program to its last.

        Args:
            example: what to run.
            generation: 4 or 5; one of the example's.

        Returns:
            whether it passed, and if not, why. Failures of the example raise nothing.
        """
        with self._port_lock(example.port):
            began = time.monotonic()
            outputs: list[tuple[str, str]] = []
            try:
                with tempfile.TemporaryDirectory(prefix="peer-example-") as scratch, ExitStack() as stack:
                    run = _Run(example, generation, self._start(stack, outputs), Path(scratch))
                    run.prepare(self._folders[generation])
                    run.all_programs(self._launcher)
                reason = ""
            except ExampleError as error:
                reason = str(error)
            return Outcome(example.name, generation, not reason, time.monotonic() - began, reason, outputs)

    def stop(self) -> None:
        """Kill all that runs; the threads inside `run` come back with a failure."""
        with self._lock:
            processes = list(self._processes)
        for process in processes:
            process.kill()

    def _port_lock(self, port: int) -> threading.Lock:
        with self._lock:
            return self._ports.setdefault(port, threading.Lock()) if port else threading.Lock()

    def _start(self, stack: ExitStack, outputs: list[tuple[str, str]]) -> Callable[..., Process]:
        def start(name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Process:
            process = Process(command, folder, environment)
            with self._lock:
                self._processes.add(process)

            def end() -> None:
                process.kill()
                outputs.insert(0, (name, process.output))
                with self._lock:
                    self._processes.discard(process)

            stack.callback(end)
            return process

        return start


class _Run:
    """One run of one example."""

    def __init__(self, example: Example, generation: int, start: Callable[..., Process], scratch: Path) -> None:
        self._example = example
        self._generation = generation
        self._start = start
        self._folder = scratch / "examples" / example.source
        self._deadline = time.monotonic() + example.seconds
        self._background: list[_Background] = []
        self._found: dict[str, str] = {}

    def prepare(self, examples: Path) -> None:
        """Copy the example, and the certificates beside all of them if it needs those, to where it may write."""
        source = examples / self._example.source
        if not source.is_dir():
            raise ExampleError(f"there is no folder {source}")
        shutil.copytree(source, self._folder)
        if self._example.certificates:
            certificates = self._folder.parents[1] / "certs"
            shutil.copytree(examples.parent / "certs", certificates)
            try:
                renew(certificates)
            except CertificateError as error:
                raise ExampleError(str(error)) from error

    def all_programs(self, launcher: Launcher) -> None:
        """Run the programs in their order.

        Raises:
            ExampleError: one of them did not do what it must.
        """
        environment = self._environment(launcher)
        if self._example.name_server:
            self._start_name_server(launcher, environment)
        for program in self._example.programs:
            for script in program.ends:
                self._end(script)
            self._run_program(program, launcher, environment)
        for one in self._background:
            self._check_background(one)

    def _environment(self, launcher: Launcher) -> dict[str, str]:
        return {
            **launcher.environment,
            "PYTHONUNBUFFERED": "1",
            "PYRO_HOST": "localhost",
            "PYRO_NS_HOST": "localhost",
            "PYRO_NS_PORT": str(free_port(socket.SOCK_STREAM)),
            "PYRO_NS_BCPORT": str(free_port(socket.SOCK_DGRAM)),
            **dict(self._example.environment),
        }

    def _start_name_server(self, launcher: Launcher, environment: Mapping[str, str]) -> None:
        module = f"-m {NAME_SERVERS[self._generation]}"
        process = self._start("name server", launcher.command(self._generation, module, ()), self._folder, environment)
        deadline = min(self._deadline, time.monotonic() + NAME_SERVER_SECONDS)
        if process.wait_for(NAME_SERVER_READY, deadline) is None:
            raise ExampleError(f"name server: not ready, {_state(process)}")

    def _run_program(self, program: Program, launcher: Launcher, environment: Mapping[str, str]) -> None:
        script = program.script.format_map(MODULES[self._generation])
        folder = self._folder
        if not script.startswith("-m "):
            path = self._folder / script
            folder, script = path.parent, path.name
        command = launcher.command(self._generation, script, [self._filled(one) for one in program.arguments])
        process = self._start(program.script, command, folder, environment)
        if program.in_background:
            self._go_on_in_background(program, process)
        elif program.repeat:
            while not self._printed_all(program, process):
                if time.monotonic() > self._deadline:
                    raise ExampleError(f"{program.script}: never printed {program.expect}, {_state(process)}")
                process = self._start(program.script, command, folder, environment)
        elif program.until:
            self._answer(program, process)
            self._awaited(program, process, program.until)
            if not program.interrupt:
                self._check_output(program, process, self._deadline)
            self._stop(program, process)
        else:
            self._answer(program, process)
            self._check_end(program, process, self._deadline)
            self._check_output(program, process, self._deadline)

    def _go_on_in_background(self, program: Program, process: Process) -> None:
        one = _Background(program, process)
        self._background.append(one)

        def answer() -> None:
            try:
                self._answer(program, process)
            except ExampleError as error:
                one.failure = error

        # It may have to answer to programs that are not there yet.
        one.thread = threading.Thread(target=answer, daemon=True)
        one.thread.start()
        self._found.update(self._awaited(program, process, program.ready).groupdict())

    def _printed_all(self, program: Program, process: Process) -> bool:
        """Wait for the end of a program that may fail, and return whether it printed what it should."""
        self._answer(program, process)
        process.wait_until_ended(self._deadline)
        return all(process.wait_for(pattern, self._deadline) for pattern in program.expect)

    def _check_background(self, one: _Background) -> None:
        late = time.monotonic() + LATE_SECONDS
        if one.program.leaves:
            self._check_end(one.program, one.process, late)
        self._check_output(one.program, one.process, late)
        one.thread.join(max(0.0, late - time.monotonic()))
        if one.failure is not None:
            raise one.failure
        if one.thread.is_alive():
            raise ExampleError(f"{one.program.script}: did not ask for all of its input, {_state(one.process)}")

    def _answer(self, program: Program, process: Process) -> None:
        seen = 0
        for line in program.inputs:
            if isinstance(line, Answer):
                seen = self._awaited(program, process, line.after, seen).end()
            process.tell(self._filled(line.text if isinstance(line, Answer) else line))
        process.tell_no_more()

    def _filled(self, text: str) -> str:
        try:
            return text.format_map(self._found)
        except KeyError as error:
            raise ExampleError(f"no program before has printed {error}") from error

    def _awaited(self, program: Program, process: Process, pattern: str, start: int = 0) -> re.Match[str]:
        found = process.wait_for(pattern, self._deadline, start)
        if found is None:
            raise ExampleError(f"{program.script}: did not print {pattern!r}, {_state(process)}")
        return found

    def _check_output(self, program: Program, process: Process, deadline: float) -> None:
        for pattern in program.expect:
            if process.wait_for(pattern, deadline) is None:
                raise ExampleError(f"{program.script}: did not print {pattern!r}, {_state(process)}")
        output = process.output
        for pattern in program.refuse:
            if found := re.search(pattern, output, re.MULTILINE):
                raise ExampleError(f"{program.script}: printed {found.group()!r}")

    def _check_end(self, program: Program, process: Process, deadline: float) -> None:
        status = process.wait_until_ended(deadline)
        if status is None:
            raise ExampleError(f"{program.script}: did not end, {_state(process)}")
        if program.status is not None and status != program.status:
            raise ExampleError(f"{program.script}: exit status {status} instead of {program.status}, {_state(process)}")

    def _stop(self, program: Program, process: Process) -> None:
        if not program.interrupt:
            process.kill()
            return
        process.interrupt()
        deadline = time.monotonic() + INTERRUPT_SECONDS
        self._check_end(program, process, deadline)
        self._check_output(program, process, deadline)

    def _end(self, script: str) -> None:
        for one in [one for one in self._background if one.program.script == script]:
            self._check_background(one)
            self._stop(one.program, one.process)
            self._background.remove(one)


@dataclass(slots=True)
class _Background:
    """A program that runs while others do."""

    program: Program
    process: Process
    thread: threading.Thread = field(default_factory=threading.Thread)
    """Answers what it asks."""
    failure: ExampleError | None = None


def _state(process: Process) -> str:
    """Return what is to be said of a process that disappoints: whether it runs, and its last line."""
    lines = process.output.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
    # Its output may have come to an end a moment before the process itself.
    status = process.wait_until_ended(time.monotonic() + STATE_SECONDS)
    running = "still running" if status is None else f"ended with {status}"
    return f"{running}; last line: {last[:160]}"
