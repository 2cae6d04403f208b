"""Where a value stands that cannot travel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

import pytest

import fastpyro
from fastpyro.errors import SerializeError
from fastpyro.serializers.registry import get_serializer, native
from fastpyro.values.refused_paths import located, of_call

LOCK = threading.Lock()


class Holder:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Unclear(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta | None:
        return None if when is None else timedelta(hours=1)

    def tzname(self, when: datetime | None) -> str:
        return "unclear"

    def dst(self, when: datetime | None) -> None:
        return None


CASES: list[tuple[Any, str]] = [
    (LOCK, ""),
    ([1, {"frame": Holder(index=LOCK)}], '[1]["frame"].index'),
    ({"it's": [LOCK]}, '["it\'s"][0]'),
    ({"a": (1, {2: {"x" * 50: LOCK}})}, f'["a"][1][2]["{"x" * 40}…"]'),
    ({(1, "a"): LOCK}, "[(1, 'a')]"),
    (ValueError(1, [LOCK]), ".args[1][0]"),
    ([Holder(when=datetime(2020, 1, 1, tzinfo=UTC), day=date(2020, 1, 1), at=time(1)), LOCK], "[1]"),
    ([timedelta(1), 5, b"x", "y", None, 2.5, 1j, iter(())], "[7]"),
    ({"kind": int}, '["kind"]'),
]


@pytest.mark.parametrize("name", ["native", "serpent"])
@pytest.mark.parametrize(("value", "path"), CASES)
def test_paths(name: str, value: Any, path: str) -> None:
    serializer = get_serializer(name)
    with pytest.raises(SerializeError) as caught:
        serializer.dumps(value)
    error = located(caught.value, [("result", value)], serializer.expand)
    assert str(error).startswith(f"result{path}: cannot serialize")


class Batched:
    """Has results that cannot travel."""

    @fastpyro.expose
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    @fastpyro.expose
    def lock(self) -> Any:
        return {"a": [LOCK]}

    @fastpyro.expose
    def tuple_keys(self) -> Any:
        return {"k": {(1, 2): 3}}

    @fastpyro.expose
    def numbers(self) -> Iterator[int]:
        yield 1


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        yield str(daemon.register(Batched()))
        daemon.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["native", "serpent", "json", "msgpack"])
def test_paths_in_batches(uri: str, name: str) -> None:
    with fastpyro.Proxy(uri) as proxy:
        proxy._pyroSerializer = name
        batch = fastpyro.BatchProxy(proxy)
        batch.echo(1)
        with pytest.raises(SerializeError, match=r'^calls\[1\]\.args\[0\]\["k"\]\[1\]: cannot serialize'):
            batch.echo({"k": [1, LOCK]})
        with pytest.raises(SerializeError, match=r'^calls\[1\]\.kwargs\["x"\]: cannot serialize'):
            batch.echo(1, x=LOCK)
        batch.lock()
        results = batch()
        assert next(results) == [[1], {}]
        with pytest.raises(SerializeError, match=r'^results\[1\]\["a"\]\[0\]: cannot serialize'):
            next(results)
        batch.numbers()
        with pytest.raises(
            SerializeError, match=r"^results\[0\]: .*a batch, cannot travel\. .*a call of its own to stream"
        ):
            next(batch())


def test_what_only_the_format_of_a_batch_has_no_form_for(uri: str) -> None:
    with fastpyro.Proxy(uri) as proxy:
        proxy._pyroSerializer = "json"
        batch = fastpyro.BatchProxy(proxy)
        batch.echo(1)
        batch.echo(x=[b"bytes"])
        with pytest.raises(SerializeError, match=r'^calls\[1\]\.kwargs\["x"\]\[0\]: cannot serialize'):
            batch()


def test_elements_of_sets_keys_and_zones() -> None:
    def path_of(value: Any) -> str:
        with pytest.raises(SerializeError) as caught:
            native.dumps(value)
        return str(located(caught.value, [("result", value)], native.expand)).partition(":")[0]

    assert path_of([{LOCK}]) == "result[0]{…}"
    assert path_of([{LOCK: 1}]) == "a key of result[0]"
    assert path_of({"when": datetime(2020, 1, 1, tzinfo=Unclear())}) == 'result["when"]'


FORMATS = ["native", "serpent", "json", "msgpack", "marshal", "pickle"]


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


REFUSED_SOMEWHERE: list[Any] = [
    {(1, 2): 3},
    {b"x": 1},
    {frozenset({1}): 1},
    {frozenset({b"x"}): 1},
    {date(2020, 1, 1): 1},
    {frozenset({1})},
    {(1, (2, 3)): {(4,): 5}},
    LOCK,
    iter(()),
    threading,
    int,
    1j,
    b"bytes",
    bytearray(b"bytes"),
    memoryview(b"bytes"),
    "\ud800",
    ...,
    10**5000,
    datetime(2020, 1, 1, tzinfo=Unclear()),
    ValueError(LOCK),
]
PLACES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda value: value, ""),
    (lambda value: [0, value], "[1]"),
    (lambda value: (value,), "[0]"),
    (lambda value: {"a": {"b": value}}, '["a"]["b"]'),
    (lambda value: [{"x": (1, [value])}], '[0]["x"][1][0]'),
]


def refusal_of(name: str, value: Any) -> str:
    """Return the text with which a format refuses a value, empty if it does not; what it writes can be read."""
    serializer = get_serializer(name)
    try:
        data = serializer.dumps(value)
    except SerializeError as error:
        return str(located(error, [("result", value)], serializer.expand, serializer.dumps))
    serializer.loads(data)
    return ""


@pytest.mark.parametrize("name", FORMATS)
def test_every_refusal_names_the_place_and_a_way_out(name: str) -> None:
    refused = 0
    for wrap, path in PLACES:
        for value in REFUSED_SOMEWHERE:
            text = refusal_of(name, wrap(value))
            if text:
                refused += 1
                assert text.removeprefix("a key of ").startswith(f"result{path}"), text
                assert "Send" in text or "send" in text, text
    assert refused >= len(PLACES) * 3


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_nested_too_deeply_is_named_as_a_whole(name: str) -> None:
    serializer = get_serializer(name)
    endless: list[Any] = []
    endless.append(endless)
    for value in (deep(100_000), endless):
        if name == "pickle" and value is endless:
            continue  # which has a form for it
        with pytest.raises(SerializeError) as caught:
            serializer.dumps([value])
        places = [("args[0]", 1), ("args[1]", [value])]
        error = located(caught.value, places, serializer.expand, serializer.dumps)
        assert str(error).startswith("args[1]: ")
        assert str(error).endswith("Send it in parts")


def test_keys_that_a_format_has_no_form_for_in_calls(uri: str) -> None:
    with fastpyro.Proxy(uri) as proxy:
        for name in ("json", "msgpack"):
            proxy._pyroSerializer = name
            with pytest.raises(
                SerializeError, match=r'^kwargs\["x"\]\[0\]: cannot be written as .* Send a list of pairs'
            ):
                proxy.echo(x=[{(1, 2): 3}])
            with pytest.raises(SerializeError, match=r'^result\["k"\]: cannot be written as .* Send a list of pairs'):
                proxy.tuple_keys()


def test_arguments_of_calls() -> None:
    assert list(of_call((1, "x"), {"key": 2})) == [("args[0]", 1), ("args[1]", "x"), ('kwargs["key"]', 2)]
    assert list(of_call([], None)) == []


def test_errors_without_a_path_stay_what_they_are() -> None:
    class OwnError(SerializeError):
        pass

    refusal = SerializeError("cannot serialize an object")
    for error, value, expand in [
        (refusal, [1], native.expand),
        (refusal, [LOCK], None),
        (OwnError("cannot serialize"), [LOCK], native.expand),
        (SerializeError("nested too deeply"), [LOCK], native.expand),
    ]:
        assert located(error, [("result", value)], expand) is error
    endless: list[Any] = []
    endless.append(endless)
    assert located(refusal, [("result", endless)], native.expand) is refusal

    def fail(value: Any) -> Any:
        raise ZeroDivisionError

    assert located(refusal, [("result", Holder())], fail) is refusal


@fastpyro.expose
class Subject:
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return args

    def bad(self) -> Any:
        return [1, {"frame": LOCK}]


@pytest.mark.parametrize("name", ["native", "serpent"])
def test_calls_and_results(name: str) -> None:
    with fastpyro.Daemon() as daemon:
        uri = daemon.register(Subject())
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        with fastpyro.Proxy(uri) as proxy:
            proxy._pyroSerializer = name
            calls: list[tuple[Callable[[], Any], str]] = [
                (lambda: proxy.echo(1, {"frame": LOCK}), r'^args\[1\]\["frame"\]: cannot serialize'),
                (lambda: proxy.echo(key=[LOCK]), r'^kwargs\["key"\]\[0\]: cannot serialize'),
                (proxy.bad, r'^result\[1\]\["frame"\]: cannot serialize'),
            ]
            for call, path in calls:
                with pytest.raises(SerializeError, match=path):
                    call()
            assert list(proxy.echo(1)) == [1]
        daemon.shutdown()
        thread.join()


def test_pandas_is_refused_as_a_whole() -> None:
    frame: Any = type("DataFrame", (), {"__module__": "pandas.core.frame"})
    for name in ("native", "serpent"):
        with pytest.raises(SerializeError, match=r"of type pandas\.core\.frame\.DataFrame"):
            get_serializer(name).dumps([frame()])
