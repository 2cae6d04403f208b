"""What `make bench` times, as seen by a client: each workload runs so many times, checks its results and tells its times.

`python bench/workloads.py CONTENDER ADDRESS` is a client process: it reads commands from its standard input, one line of
JSON each, and answers with one line of JSON each. So each library is alone in its process, and rounds can be interleaved.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTENDERS = Path(__file__).parent / "contenders"
MIB = 1 << 20
ROWS = [
    {"id": number, "name": f"name {number}", "value": number / 7, "flag": number % 2 == 0} for number in range(1000)
]

Workload = Callable[[Any, int], list[float]]
"""A client and a number of times; returns seconds a call for each."""


def load(contender: str) -> Any:
    """Return the module of a contender."""
    if str(CONTENDERS) not in sys.path:
        sys.path.insert(0, str(CONTENDERS))
    return importlib.import_module(contender)


def timed(action: Callable[[], Any], check: Callable[[Any], bool], times: int, calls: int = 1) -> list[float]:
    """Time an action that makes so many calls; the check is outside the time."""
    clock, seconds = time.perf_counter, []
    for _ in range(times):
        before = clock()
        result = action()
        seconds.append((clock() - before) / calls)
        assert check(result), f"a wrong result: {str(result)[:200]}"
    return seconds


def timed_in_a_row(action: Callable[[], Any], check: Callable[[Any], bool], times: int) -> list[float]:
    """As `timed`, but a hundred calls are made before their results are checked, as a program that polls would."""
    clock, seconds, results = time.perf_counter, [], []
    for number in range(times):
        before = clock()
        result = action()
        seconds.append(clock() - before)
        results.append(result)
        if number % 100 == 99 or number == times - 1:
            for result in results:
                assert check(result), f"a wrong result: {str(result)[:200]}"
            results.clear()
    return seconds


def null(client: Any, times: int) -> list[float]:
    return timed_in_a_row(client.remote.null, lambda result: result is None, times)


def echo(client: Any, times: int) -> list[float]:
    # Past our own wrapper, where the library's method gives the answer as it is.
    call = client.remote.echo if "echo" not in vars(type(client)) else client.echo
    wanted = [["hello", 42], {"key": [1, 2, 3]}]

    def right(result: Any) -> bool:
        return list(map(_plain, result)) == wanted

    return timed_in_a_row(lambda: call("hello", 42, key=[1, 2, 3]), right, times)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: list(item) for key, item in value.items()}
    return list(value)


def batch(client: Any, times: int) -> list[float]:
    return timed(lambda: client.batch(1000), lambda result: result[999] == 1998 and len(result) == 1000, times, 1000)


def items(client: Any, times: int) -> list[float]:
    count = 20_000
    return timed(lambda: client.items(count), lambda result: result == count * (count - 1) // 2, times, count)


def oneway(client: Any, times: int) -> list[float]:
    count = 20_000 if type(client).__module__ != "pyro4" and type(client).__module__ != "pyro5" else 1000
    return timed(lambda: client.oneway(count), lambda result: result is not None, times, count)


def rows(client: Any, times: int) -> list[float]:
    return timed(lambda: client.rows(ROWS), lambda result: result[999] == ROWS[999] and len(result) == 1000, times)


def upload(client: Any, times: int, size: int) -> list[float]:
    data = bytes(size)
    return timed(lambda: client.upload(data), lambda result: result == size, times)


def download(client: Any, times: int, size: int) -> list[float]:
    return timed(lambda: client.download(size), lambda result: len(result) == size, times)


def echo_bytes(client: Any, times: int, size: int) -> list[float]:
    data = bytes(size)
    return timed(lambda: client.echo_bytes(data), lambda result: result == data, times)


def upload_array(client: Any, times: int, size: int) -> list[float]:
    import numpy

    array = numpy.ones(size, "u1")
    return timed(lambda: client.upload_array(array), lambda result: result == size, times)


def download_array(client: Any, times: int, size: int) -> list[float]:
    return timed(lambda: client.download_array(size), lambda result: result.nbytes == size and result[-1] == 1, times)


def echo_array(client: Any, times: int, size: int) -> list[float]:
    import numpy

    array = numpy.ones(size, "u1")
    return timed(lambda: client.echo_array(array), lambda result: result.nbytes == size and result[-1] == 1, times)


def camera(client: Any, times: int, size: int) -> list[float]:
    """A frame every ten milliseconds, as from a camera: how long each takes to arrive."""
    seconds, due = [], time.perf_counter()
    for _ in range(times):
        due += 0.01
        time.sleep(max(due - time.perf_counter(), 0.0))
        seconds += download_array(client, 1, size)
    return seconds


def connect(client: Any, times: int) -> list[float]:
    made = type(client)

    def once() -> Any:
        other = made(client.address)
        try:
            return other.add(2, 3)
        finally:
            other.close()

    return timed(once, lambda result: result == 5, times)


def futures(client: Any, times: int, size: int) -> list[float]:
    wanted = [number + 1 for number in range(size)]
    return timed(lambda: client.futures(size), lambda result: result == wanted, times, size)


def threads(client: Any, times: int, size: int) -> list[float]:
    """So many threads, each with a connection of its own, for `times` tenths of a second."""
    made = type(client)
    return _throughput(lambda: made(client.address), lambda own: own.close(), size, times / 10)


def threads_sharing(client: Any, times: int, size: int) -> list[float]:
    """So many threads with one client, for `times` tenths of a second."""
    return _throughput(lambda: client, lambda own: None, size, times / 10)


def _throughput(make: Callable[[], Any], close: Callable[[Any], None], size: int, seconds: float) -> list[float]:
    counts, stop, ready = [0] * size, threading.Event(), threading.Barrier(size + 1)

    def work(index: int) -> None:
        own = make()  # in its thread, because some libraries' connections belong to one
        own.null()
        add, count = own.remote.add, 0
        ready.wait()
        while not stop.is_set():
            assert add(index, count) == index + count
            count += 1
        counts[index] = count
        close(own)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(size)]
    for worker in workers:
        worker.start()
    ready.wait()
    before = time.perf_counter()
    stop.wait(seconds)
    stop.set()
    elapsed = time.perf_counter() - before
    for worker in workers:
        worker.join()
    assert all(counts)
    return [elapsed / sum(counts)]


WORKLOADS: dict[str, Callable[..., list[float]]] = {
    function.__name__: function
    for function in (
        null, echo, batch, items, oneway, rows, upload, download, echo_bytes, upload_array, download_array, echo_array,
        camera, connect, futures, threads, threads_sharing,
    )
}  # fmt: skip


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(contender: str, address: str) -> None:
    """Obey commands: {"workload", "times", "size"?} → {"seconds": [...], "cpu": seconds of both processes}."""
    module = load(contender)
    client = module.Client(address)
    client.address = address
    client.null()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        arguments = [command["size"]] if "size" in command else []
        server, own = client.cpu_seconds(), own_cpu()
        seconds = WORKLOADS[command["workload"]](client, command["times"], *arguments)
        own = own_cpu() - own
        print(json.dumps({"seconds": seconds, "cpu": own + client.cpu_seconds() - server}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
