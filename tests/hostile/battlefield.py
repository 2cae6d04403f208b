"""A daemon under attack beside a good client: starts both, attacks, and says what it cost whom.

``Field.fight(attack)`` measures the good client alone, then during the attack, and gives a ``Verdict``. Crashes, loop
ends, outgoing connections, code that ran and memory are judged exactly; latencies generously, since the machine may be
shared, unless ``FASTPYRO_ATTACK`` is "exact" (as ``make attack`` sets it).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostile import packer
from server_process import ServerProcess

HERE = Path(__file__).parent
MIB = 1 << 20
EXACT = os.environ.get("FASTPYRO_ATTACK") == "exact"
FIGURES = os.environ.get("FASTPYRO_ATTACK_FIGURES")
"""Where figures are collected, a JSON object a line; set by ``make attack``."""

LATENCY = 5.0 if EXACT else 5000.0
"""Milliseconds that the good client's p99 may reach whatever it was alone."""

LATENCY_FACTOR = 3.0 if EXACT else 30.0
ADMISSION = 1.0 if EXACT else 10.0
"""Seconds within which a new client is admitted."""

MEMORY = 256 * MIB
MEMORY_FACTOR = 16
CPU_FACTOR = 10.0
SECONDS = 2.0 if EXACT else 1.0
"""How long the good client measures, unless a fight asks for more."""


class Attacker:
    """A socket that sends what it likes to a daemon and counts it. Each answer must come within the patience.

    Arguments: ``place``, where another daemon of that process is; None for the daemon itself.
    """

    def __init__(
        self,
        battlefield: Field,
        *,
        admitted: bool = False,
        patience: float = 10.0,
        place: str | None = None,
        **hello: Any,
    ) -> None:
        self.field = battlefield
        self.sock = battlefield.dial(place)
        self.sock.settimeout(patience)
        if admitted:
            try:
                answer = self.ask(packer.connect(**hello))
                assert answer.kind == packer.CONNECTOK, answer
            except BaseException:
                self.sock.close()
                raise

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all, and count it. Raises OSError when the daemon has hung up."""
        view = memoryview(data)
        while view:
            sent = self.sock.send(view[: 1 << 20])
            self.field.count(sent)
            view = view[sent:]

    def ask(self, data: bytes) -> packer.Answer:
        self.send(data)
        return packer.read_message(self.sock)

    def ask_or_end(self, data: bytes) -> packer.Answer | None:
        """Send and read one answer; None when the daemon hung up instead. TimeoutError when it does neither."""
        try:
            return self.ask(data)
        except TimeoutError:
            raise
        except (EOFError, OSError):
            return None

    def push(self, data: bytes) -> int:
        """Send as much as the daemon takes without waiting for it; returns how many bytes it took."""
        view = memoryview(data)
        with contextlib.suppress(OSError):
            while view:
                sent = self.sock.send(view[: 1 << 20])
                self.field.count(sent)
                view = view[sent:]
        return len(data) - len(view)


class Bystander:
    """The good client's process; ``begin`` a measurement, then take its ``result``."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / "bystander.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def begin(self, what: str, uri: str, seconds: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, "uri": uri, "seconds": seconds}) + "\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        result: dict[str, Any] = json.loads(self.process.stdout.readline())
        return result

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@dataclass
class Verdict:
    """What an attack did. Times in milliseconds, sizes in bytes."""

    name: str
    sent: int
    peak: int
    threads: int
    alone: dict[str, Any]
    during: dict[str, Any]
    admission: dict[str, Any]
    events: list[str]
    crashed: str | None
    cpu: float
    notes: dict[str, float] = field(default_factory=dict)

    def failures(self) -> list[str]:
        """Which bounds were broken, in words; nothing when the daemon held."""
        found = [f"the daemon is gone: {self.crashed}"] if self.crashed else []
        found += [f"it happened in the daemon: {event}" for event in self.events[:5]]
        allowed = MEMORY + MEMORY_FACTOR * self.sent
        if self.peak > allowed:
            found.append(f"memory of {self.peak / MIB:.0f} MiB; {self.sent:,} bytes were sent: {allowed / MIB:.0f} MiB")
        most = max(LATENCY, LATENCY_FACTOR * self.alone["p99"])
        if self.during["error"]:
            found.append(f"the good client: {self.during['error']}")
        elif self.during["p99"] > most:
            found.append(f"p99 of the good client {self.during['p99']:.2f} ms, more than {most:.1f}")
        if self.admission["error"]:
            found.append(f"a new client: {self.admission['error']}")
        elif self.admission["worst"] > ADMISSION * 1000:
            found.append(f"a new client waited {self.admission['worst'] / 1000:.2f} s")
        return found

    def record(self) -> None:
        """Add the figures to the file that ``make attack`` makes a table of."""
        if FIGURES:
            row = {
                "name": self.name,
                "sent": self.sent,
                "peak": self.peak,
                "threads": self.threads,
                "p50": self.during["p50"],
                "p99": self.during["p99"],
                "alone_p50": self.alone["p50"],
                "alone_p99": self.alone["p99"],
                "admitted": self.admission["worst"],
                "cpu": self.cpu,
                "failures": self.failures(),
            }
            with open(FIGURES, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


class Field:
    """One daemon and those who watch it. A context manager. Arguments: its options, as ``subject_daemon`` takes them."""

    def __init__(self, bystanders: tuple[Bystander, Bystander], *options: str, servertype: str = "thread") -> None:
        self.bystanders = bystanders
        self.servertype = servertype
        self.sent = 0
        self._counting = threading.Lock()
        self._end = 0.0
        reader, writer = os.pipe()
        self._reader = reader
        os.set_blocking(reader, False)
        command: list[str | Path] = [
            HERE / "subject_daemon.py",
            "--report",
            str(writer),
            "--servertype",
            servertype,
            *options,
        ]
        try:
            self.server = ServerProcess(*command, descriptors=(writer,), environment={"PYTHONDONTWRITEBYTECODE": "1"})
        finally:
            os.close(writer)
        try:
            self.location = self.server.wait_for(r"^location = (.+)$")[1].strip()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.server.stop()
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    @property
    def uri(self) -> str:
        return f"PYRO:subject@{self.location}"

    def count(self, sent: int) -> None:
        with self._counting:
            self.sent += sent

    def going(self) -> bool:
        """Whether the attack is to go on."""
        return time.monotonic() < self._end and self.server.process.poll() is None

    def dial(self, location: str | None = None) -> socket.socket:
        """Connect to the daemon, or to another one of its process, as anybody may."""
        location = location or self.location
        if location.startswith("./u:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(10)
            sock.connect(location[4:])
            return sock
        host, _, port = location.rpartition(":")
        sock = socket.create_connection((host, int(port)), timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def attacker(self, *, admitted: bool = False, **more: Any) -> Attacker:
        return Attacker(self, admitted=admitted, **more)

    def events(self) -> list[str]:
        """What happened in the daemon since it was asked last: outgoing connections, code that ran, files written."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while more := os.read(self._reader, 65536):
                data += more
        return data.decode().splitlines()

    def crash(self) -> str | None:
        """How the daemon's process ended, if it did."""
        status = self.server.process.poll()
        return None if status is None else f"exit status {status}: {self.server.output[-500:]}"

    def status(self, key: str) -> int:
        """A number of /proc/PID/status, such as VmHWM (in kB) or Threads; 0 when the process is gone."""
        try:
            text = Path(f"/proc/{self.server.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{key}:")), 0)

    def descriptors(self) -> int:
        """Return how many descriptors the daemon has open."""
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def cpu_seconds(self) -> float:
        """Processor time of all its threads that live, in seconds, finely."""
        total = 0
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{self.server.pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        return total / 1e9

    def alone(self) -> dict[str, Any]:
        """Measure the good client while nothing else happens."""
        self.bystanders[0].begin("calls", self.uri, SECONDS / 2)
        return self.bystanders[0].result()

    def fight(
        self,
        name: str,
        attack: Callable[[Field], Any],
        *,
        seconds: float = SECONDS,
        after: Callable[[], Any] | None = None,
    ) -> Verdict:
        """Attack while the good client calls and new ones come. What the attack raises is raised when all is measured."""
        seconds = seconds if EXACT else min(seconds, SECONDS)
        alone = self.alone()
        self.events()
        self.sent = 0
        cpu = self.cpu_seconds()
        failure: list[BaseException] = []
        self._end = time.monotonic() + seconds

        def run() -> None:
            try:
                attack(self)
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.bystanders[0].begin("calls", self.uri, seconds)
        self.bystanders[1].begin("admissions", self.uri, seconds)
        during, admission = self.bystanders[0].result(), self.bystanders[1].result()
        thread.join(max(seconds, 30.0))
        hangs = thread.is_alive()
        if after is not None:
            after()
        verdict = Verdict(
            name=f"{name} [{self.servertype}]",
            sent=self.sent,
            peak=self.status("VmHWM") * 1024,
            threads=self.status("Threads"),
            alone=alone,
            during=during,
            admission=admission,
            events=self.events(),
            crashed=self.crash(),
            cpu=self.cpu_seconds() - cpu,
        )
        verdict.record()
        if failure and not verdict.failures():
            raise failure[0]
        if hangs and not verdict.failures():
            raise AssertionError("the attack did not end: the daemon keeps somebody waiting")
        return verdict

    def holds(self, name: str, attack: Callable[[Field], Any], **more: Any) -> Verdict:
        """Fight, and assert that every bound was kept."""
        verdict = self.fight(name, attack, **more)
        assert not verdict.failures(), f"{verdict.name}: " + "; ".join(verdict.failures())
        return verdict

    def still_serves(self) -> None:
        """Assert that the daemon answers a new client, and that nothing forbidden happened."""
        self.bystanders[1].begin("admissions", self.uri, 0.0)
        result = self.bystanders[1].result()
        assert self.crash() is None, self.crash()
        assert result["error"] is None, result["error"]
        events = self.events()
        assert not events, events[:5]


class Trap:
    """A listener of the attacker's: counts who connects, and may answer each with bytes. A context manager."""

    def __init__(self, answer: bytes = b"", family: int = socket.AF_INET, path: str = "") -> None:
        self.caught: list[bytes] = []
        self._open: list[socket.socket] = []
        self._answer = answer
        self._listener = socket.socket(family)
        self._listener.bind(path if family == socket.AF_UNIX else ("127.0.0.1", 0))
        self._listener.listen(64)
        self.place = f"./u:{path}"
        if family == socket.AF_INET:
            self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._catch, daemon=True)
        self._thread.start()

    def _catch(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(2)
            try:
                self.caught.append(sock.recv(65536))
                sock.sendall(self._answer)
                if self._answer:
                    sock.recv(65536)
            except OSError:
                self.caught.append(b"")
            finally:
                if self._answer:
                    sock.close()
                else:
                    self._open.append(sock)  # says nothing, for as long as anybody waits

    def __enter__(self) -> Trap:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for sock in self._open:
            sock.close()


@contextlib.contextmanager
def bystanders() -> Iterator[tuple[Bystander, Bystander]]:
    first, second = Bystander(), Bystander()
    try:
        yield first, second
    finally:
        first.stop()
        second.stop()
