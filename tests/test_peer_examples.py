"""The machinery that runs the peers' examples, tried on small programs of its own: no network, and no Pyro."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from peer_examples import fetch, run
from peer_examples.catalogue import EXAMPLES, NOT_RUN
from peer_examples.certificates import CertificateError, openssl, renew
from peer_examples.processes import Process
from peer_examples.programs import Answer, Example, Program, client, problems, server
from peer_examples.runner import Launcher, Outcome, Runner

SERVER = "import sys\nprint('uri = PYRO:thing@localhost:1', flush=True)\nprint('told', sys.stdin.read(), flush=True)\n"
SERVER_LOOP = "import signal\nprint('uri = PYRO:thing@localhost:1', flush=True)\nsignal.pause()\n"
ECHO = "print('got', input('what? '))\n"
ENDLESS = "import signal\nprint('begin', flush=True)\nsignal.pause()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of an example that is called like itself, `small`."""
    path = tmp_path / "peer" / "examples" / "small"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def runner(folder: Path) -> Runner:
    launcher = Launcher(sys.executable, {"PATH": os.environ["PATH"]}, facade=False)
    return Runner(launcher, {4: folder.parent, 5: folder.parent})


def write(folder: Path, **sources: str) -> None:
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")


def small(*programs: Program, **settings: object) -> Example:
    return Example("small", programs, **{"seconds": 20.0, **settings})  # type: ignore[arg-type]


# The catalogue.


def test_the_catalogue_is_sane() -> None:
    assert not problems(EXAMPLES)
    assert len({example.name for example in EXAMPLES}) >= 40
    for generation in (4, 5):
        assert sum(generation in example.generations for example in EXAMPLES) >= 25


def test_each_of_the_examples_is_run_or_has_a_reason_not_to_be() -> None:
    run_folders = {example.source for example in EXAMPLES}
    assert not run_folders & set(NOT_RUN)
    # 59 names in both generations; custom-serialization is called ser_custom in the older one.
    assert len(run_folders | set(NOT_RUN)) == 59


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        (small(client("a.py", "line"), generations=(3,)), "generations"),
        (small(client("a.py")), "expects nothing"),
        (small(client("a.py", "line"), server("b.py")), "is over before"),
        (small(client("a.py", "line", ends=("b.py",))), "not started"),
        (small(client("a.py", "(")), "no regular expression"),
        (small(client("a.py", "line", inputs=(Answer("[", "text"),))), "no regular expression"),
    ],
)
def test_a_problem_of_the_catalogue_is_found(example: Example, problem: str) -> None:
    assert any(problem in found for found in problems([example]))


def test_a_name_stands_once_for_each_generation() -> None:
    example = small(client("a.py", "line"))
    assert len(problems([example, example])) == 2


# One example.


def test_what_a_server_printed_reaches_the_client_and_both_are_checked(runner: Runner, folder: Path) -> None:
    write(folder, server=SERVER, client=ECHO)
    example = small(
        server("server.py", inputs=("hello",), expect=("told hello",), leaves=True),
        client("client.py", "^what[?] got PYRO:thing@localhost:1$", inputs=("{uri}",)),
    )
    outcome = runner.run(example, 5)
    assert outcome.passed, outcome.reason
    assert [name for name, _ in outcome.outputs] == ["server.py", "client.py"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (client("client.py", "nothing of the kind", inputs=("x",)), "'nothing of the kind'"),
        (client("client.py", "got", inputs=("x",), status=3), "exit status 0 instead of 3"),
        (client("client.py", "got", inputs=("x",), refuse=("got x",)), "printed 'got x'"),
        (client("client.py", "got", inputs=("{uri}",)), "'uri'"),
        (client("client.py", "got"), "exit status 1 instead of 0"),
        (client("absent.py", "got"), "exit status 2 instead of 0"),
        (
            Program("client.py", inputs=("x",), until="never"),
            "did not print 'never', ended with 0; last line: what? got x",
        ),
        (server("client.py", inputs=("x",), expect=("got",)), "did not print"),
        (client("client.py", "got", inputs=(Answer("never asked", "x"),)), "did not print 'never asked'"),
    ],
)
def test_an_example_that_disappoints_fails_with_the_reason(
    runner: Runner, folder: Path, program: Program, reason: str
) -> None:
    write(folder, client=ECHO)
    outcome = runner.run(small(program, seconds=3.0), 4)
    assert not outcome.passed
    assert reason in outcome.reason


def test_any_exit_status_will_do_if_none_is_expected(runner: Runner, folder: Path) -> None:
    write(folder, client="print('x')\nraise SystemExit(7)\n")
    assert runner.run(small(client("client.py", "x", status=None)), 5).passed


def test_an_endless_example_is_stopped_after_its_line(runner: Runner, folder: Path) -> None:
    write(folder, client=ENDLESS)
    outcome = runner.run(small(Program("client.py", until="begin")), 5)
    assert outcome.passed, outcome.reason


def test_an_endless_example_without_such_a_line_fails_in_time(runner: Runner, folder: Path) -> None:
    write(folder, client=ENDLESS)
    outcome = runner.run(small(client("client.py", "begin"), seconds=1.0), 5)
    assert "did not end, still running; last line: begin" in outcome.reason
    assert outcome.seconds < 10


def test_the_children_of_a_program_end_with_it(runner: Runner, folder: Path) -> None:
    """A grandchild that ignores all but SIGKILL holds a connection to us, which breaks when it is gone."""
    grandchild = (
        "import signal, socket, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "link = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "link.sendall(b'here')\n"
        "signal.pause()\n"
    )
    starter = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, 'grandchild.py', sys.argv[1]])\n"
        "print('started', flush=True)\n"
        "child.wait()\n"
    )
    write(folder, client=starter, grandchild=grandchild)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        port = str(listener.getsockname()[1])
        example = small(Program("client.py", arguments=(port,), ready="started"), client("greet.py", "met"))
        # The second program keeps the example alive until the grandchild is connected.
        with socket.create_server(("127.0.0.1", 0)) as gate:
            gate.settimeout(20)
            meet = f"import socket\nsocket.create_connection(('127.0.0.1', {gate.getsockname()[1]})).recv(1)\nprint('met')\n"
            write(folder, greet=meet)
            outcomes: list[Outcome] = []
            with ThreadPoolExecutor(1) as executor:
                executor.submit(lambda: outcomes.append(runner.run(example, 5)))
                link, _ = listener.accept()
                link.settimeout(20)
                assert link.recv(4) == b"here"
                guest, _ = gate.accept()
                guest.close()
            with link:
                assert link.recv(1) == b""
        assert outcomes[0].passed, outcomes[0].reason


def test_a_program_is_interrupted_as_by_a_key(runner: Runner, folder: Path) -> None:
    source = "import signal\ntry:\n    print('begin', flush=True)\n    signal.pause()\n"
    source += "except KeyboardInterrupt:\n    print('cleaned')\n"
    write(folder, client=source)
    example = small(Program("client.py", until="begin", interrupt=True, expect=("cleaned",)))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = runner.run(example, 5)
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.passed, outcome.reason


def test_a_question_is_answered_when_it_is_asked(runner: Runner, folder: Path) -> None:
    write(folder, client="print('first', input('name? '))\nprint('second', input('name? '))\n")
    answers = (Answer(r"name\? ", "anna"), Answer(r"name\? ", "bert"))
    outcome = runner.run(small(client("client.py", "first anna", "second bert", inputs=answers)), 5)
    assert outcome.passed, outcome.reason


def test_a_program_in_the_background_that_is_never_asked_fails(runner: Runner, folder: Path) -> None:
    write(folder, server=SERVER_LOOP, client=ECHO)
    example = small(
        server("server.py", inputs=(Answer("never", "x"),)), client("client.py", "got", inputs=("x",)), seconds=1.0
    )
    assert "never" in runner.run(example, 5).reason


def test_a_program_can_be_ended_and_started_again(runner: Runner, folder: Path) -> None:
    write(folder, server=SERVER_LOOP, client=ECHO)
    example = small(
        server("server.py"),
        server("server.py", ends=("server.py",)),
        client("client.py", "got x", inputs=("x",)),
    )
    outcome = runner.run(example, 5)
    assert outcome.passed, outcome.reason
    assert [name for name, _ in outcome.outputs] == ["server.py", "server.py", "client.py"]


def test_a_program_that_repeats_runs_until_it_prints_what_it_should(runner: Runner, folder: Path) -> None:
    count = "with open('runs', 'a+') as runs:\n    runs.write('x')\n    runs.seek(0)\n    print(runs.read())\n"
    write(folder, client=count)
    outcome = runner.run(small(client("client.py", "xxx", repeat=True)), 5)
    assert outcome.passed, outcome.reason
    assert len(outcome.outputs) == 3
    assert "never printed" in runner.run(small(client("client.py", "y", repeat=True), seconds=0.5), 5).reason


def test_examples_run_in_a_copy_beside_their_scripts(runner: Runner, folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "client.py").write_text("open('made', 'w').close()\nprint(open('beside').read())\n")
    (folder / "inner" / "beside").write_text("found")
    outcome = runner.run(small(client("inner/client.py", "found")), 5)
    assert outcome.passed, outcome.reason
    assert not (folder / "inner" / "made").exists()


def test_an_example_that_is_not_there_fails(runner: Runner) -> None:
    outcome = runner.run(Example("absent", (client("a.py", "x"),)), 5)
    assert "there is no folder" in outcome.reason


def fake_name_server(folder: Path, source: str) -> Runner:
    package = folder.parents[2] / "library" / "Pyro5"
    package.mkdir(parents=True)
    write(package, __init__="", nameserver=source)
    launcher = Launcher(sys.executable, {"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent)}, facade=False)
    return Runner(launcher, {5: folder.parent})


def test_the_name_server_gets_ports_of_its_own(folder: Path) -> None:
    source = (
        "import os, signal\nprint('PYRO:Pyro.NameServer@', os.environ['PYRO_NS_PORT'], flush=True)\nsignal.pause()\n"
    )
    write(folder, client="import os\nprint('port', os.environ['PYRO_NS_PORT'], os.environ['PYRO_NS_BCPORT'])\n")
    outcome = fake_name_server(folder, source).run(small(client("client.py", r"port \d+ \d+"), name_server=True), 5)
    assert outcome.passed, outcome.reason
    (_, printed), (_, seen) = outcome.outputs
    assert printed.split()[-1] == seen.split()[1]


def test_a_name_server_that_does_not_start_is_the_reason(folder: Path) -> None:
    write(folder, client="print('x')\n")
    outcome = fake_name_server(folder, "raise SystemExit('no')\n").run(
        small(client("client.py", "x"), name_server=True), 5
    )
    assert outcome.reason == "name server: not ready, ended with 1; last line: no"


def test_a_runner_that_is_stopped_leaves_nothing_behind(runner: Runner, folder: Path) -> None:
    write(folder, client=ENDLESS)
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(runner.run, small(client("client.py", "x"), seconds=60.0), 5)
        while wait([future], 0.05).not_done:
            runner.stop()
    assert not future.result().passed
    assert future.result().seconds < 30


def test_commands_of_the_peer_and_of_the_facade() -> None:
    peer, facade = (Launcher("python", {}, facade=one) for one in (False, True))
    assert peer.command(5, "client.py", ["x"]) == ["python", "client.py", "x"]
    assert peer.command(4, "-m Pyro4.naming", []) == ["python", "-m", "Pyro4.naming"]
    assert facade.command(4, "client.py", ["x"]) == ["python", "-m", "fastpyro.compat", "Pyro4", "client.py", "x"]
    assert facade.command(5, "-m a.b", []) == ["python", "-m", "fastpyro.compat", "Pyro5", "-m", "a.b"]


def test_a_process_keeps_the_end_of_its_time(folder: Path) -> None:
    write(folder, client=ENDLESS)
    process = Process([sys.executable, "client.py"], folder, os.environ)
    try:
        assert process.wait_for("begin", time.monotonic() + 20)
        assert process.wait_for("more", time.monotonic() + 0.05) is None
        assert process.wait_until_ended(time.monotonic() + 0.05) is None
    finally:
        process.kill()
    assert process.status == -signal.SIGKILL
    process.tell("nobody listens")


# The command.


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return arguments with which the command runs examples of ours on the plain interpreter."""
    write(folder, client=ECHO)
    good, bad = client("client.py", "got x", inputs=("x",)), client("client.py", "got y", inputs=("x",))
    examples = (small(good), Example("wrong", (bad,), "small", generations=(5,), seconds=10.0))
    monkeypatch.setattr(run, "EXAMPLES", examples)
    monkeypatch.setattr(run, "examples_of", lambda generation, cache: folder.parent)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # main() sets handlers for its process
    return ["--with", "peer", "--jobs", "2"]


def test_the_command_fails_if_one_example_does(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, logs = tmp_path / "table.md", tmp_path / "logs"
    assert run.main([*command, "--markdown", str(table), "--logs", str(logs)]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"^wrong +Pyro5  FAILED .* 'got y'", printed, re.MULTILINE)
    assert printed.endswith("2 of 3 passed\n")
    rows = table.read_text().splitlines()
    assert [row.split(" | ")[:3] for row in rows[2:5]] == [
        ["| small", "Pyro4", "passed"],
        ["| small", "Pyro5", "passed"],
        ["| wrong", "Pyro5", "**failed**"],
    ]
    assert "what? got x" in (logs / "5-wrong.txt").read_text()


def test_the_command_runs_only_what_it_is_asked_for(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([*command, "--only", "small", "--generation", "5"]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 passed\n")
    with pytest.raises(SystemExit, match="no such example: another"):
        run.main([*command, "--only", "another"])
    assert run.main([*command, "--list"]) == 0
    assert capsys.readouterr().out == "Pyro4  small\nPyro5  small\nPyro5  wrong\n"


def test_examples_that_cannot_be_had_are_said_so(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(generation: int, cache: Path | None) -> Path:
        raise fetch.FetchError("no way to the index")

    monkeypatch.setattr(run, "examples_of", fail)
    assert run.main(command) == 2
    assert capsys.readouterr().err == "no way to the index\n"


def test_settings_of_this_process_do_not_reach_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYRO_SERIALIZER", "FASTPYRO_SPIN", "PYTHONPATH", "OTHER"):
        monkeypatch.setenv(name, "x")
    assert {"PYRO_SERIALIZER", "FASTPYRO_SPIN", "PYTHONPATH"}.isdisjoint(run.environment("peer"))
    assert run.environment("fastpyro")["PYTHONPATH"] == str(Path(__file__).parents[1])
    assert run.environment("peer")["OTHER"] == "x"


def test_a_reason_cannot_break_the_table() -> None:
    text = run.markdown([Outcome("a", 5, False, 1.0, "x | `y`")])
    assert r"| a | Pyro5 | **failed** | 1.0 | `x \| 'y'` |" in text


# The archives and certificates.


def archive(path: Path, *members: tuple[str, bytes], link: str = "") -> None:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            packed.addfile(entry)


GOOD = (("p-1/examples/a/b.py", b"x"), ("p-1/certs/c", b"y"), ("p-1/p/source.py", b"z"))


def test_an_archive_is_unpacked_once_and_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path / "p-1.tar.gz", *GOOD)
    sha256 = hashlib.sha256((tmp_path / "p-1.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setitem(fetch.ARCHIVES, 5, fetch.Archive("p==1", "p-1.tar.gz", sha256))
    examples = fetch.examples_of(5, tmp_path)
    assert (examples / "a" / "b.py").read_text() == "x"
    assert sorted(path.name for path in examples.parent.iterdir()) == ["certs", "examples"]
    (tmp_path / "p-1.tar.gz").unlink()
    assert fetch.examples_of(5, tmp_path) == examples


def test_an_archive_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path / "p-1.tar.gz", *GOOD)
    monkeypatch.setitem(fetch.ARCHIVES, 5, fetch.Archive("p==1", "p-1.tar.gz", "0" * 64))
    with pytest.raises(fetch.FetchError, match="hash"):
        fetch.examples_of(5, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["p-1.tar.gz"]


@pytest.mark.parametrize(
    ("member", "link"), [("p-1/examples/../../../escaped", ""), ("", "p-1/examples/link"), ("p-1/other/a", "")]
)
def test_an_archive_that_would_do_harm_or_holds_nothing_is_refused(tmp_path: Path, member: str, link: str) -> None:
    packed = tmp_path / "p.tar.gz"
    archive(packed, *([(member, b"x")] if member else []), link=link)
    with pytest.raises(fetch.FetchError):
        fetch.unpack(packed, tmp_path / "unpacked")
    assert [path.name for path in tmp_path.iterdir()] == ["p.tar.gz"]


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "p.tar.gz"
    archive(packed, *GOOD)
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    with pytest.raises(fetch.FetchError, match="cannot be unpacked"):
        fetch.unpack(packed, tmp_path / "unpacked")


def test_a_download_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="no such version\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(fetch.FetchError, match=r"pip cannot download p==1: no such version$"):
        fetch.download(fetch.Archive("p==1", "p-1.tar.gz", ""), tmp_path)


def test_the_cache_is_outside_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetch.cache_folder() == tmp_path / "fastpyro" / "peer_examples"
    # Where no folder can be made the temporary one serves.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert fetch.cache_folder() == tmp_path / "fastpyro-peer_examples"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificates")
def test_certificates_are_renewed_with_key_name_and_number(tmp_path: Path) -> None:
    for name in ("server", "client"):
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / f"{name}_key.pem")
        number = ("-subj", f"/O={name}", "-set_serial", "0xABCDEF", "-days", "1", "-out", tmp_path / f"{name}_cert.pem")
        openssl("req", "-x509", *key, *number)
    before = (tmp_path / "server_cert.pem").read_text()
    renew(tmp_path)
    assert (tmp_path / "server_cert.pem").read_text() != before
    shown = openssl("x509", "-in", tmp_path / "server_cert.pem", "-noout", "-serial", "-subject")
    assert re.fullmatch(r"serial=ABCDEF\nsubject=O ?= ?server\n", shown)
    # Valid for longer than the day that the first ones had.
    openssl("x509", "-in", tmp_path / "client_cert.pem", "-noout", "-checkend", str(30 * 3600))


def test_certificates_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="server_cert"):
        renew(tmp_path)
