"""The client's Proxy against a daemon in another process."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro import errors
from fastpyro.serializers.registry import native


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def server(request: pytest.FixtureRequest) -> Iterator[SubjectServer]:
    with SubjectServer("--servertype", request.param) as running:
        yield running


@pytest.fixture
def proxy(server: SubjectServer) -> Iterator[Any]:
    with fastpyro.Proxy(server.uri()) as connected:
        yield connected


def test_call_returns_result_exactly(proxy: Any) -> None:
    assert proxy.add(2, 3) == 5
    assert proxy.add(2) == 12
    assert proxy.add(left=1, right=2) == 3
    assert proxy.echo("hello", 42, key=[1, 2, 3]) == (("hello", 42), {"key": [1, 2, 3]})
    assert proxy.echo((1, {2}, b"x", None)) == (((1, {2}, b"x", None),), {})


def test_nothing_is_connected_before_the_first_use(server: SubjectServer) -> None:
    proxy = fastpyro.Proxy(server.uri())
    assert proxy._pyroConnection is None
    assert "not connected" in repr(proxy)
    assert proxy._pyroBind() is True
    assert proxy._pyroBind() is False
    assert "connected IPv4" in repr(proxy)
    proxy._pyroRelease()
    proxy._pyroRelease()
    assert proxy._pyroConnection is None
    assert proxy.add(1, 1) == 2  # connects again
    proxy._pyroRelease()


def test_context_manager_releases_and_can_be_entered_again(server: SubjectServer) -> None:
    proxy: Any = fastpyro.Proxy(server.uri())
    for _ in range(2):
        with proxy as same:
            assert same is proxy
            assert same.add(1, 2) == 3
        assert proxy._pyroConnection is None
    with pytest.raises(ZeroDivisionError), proxy:
        proxy.divide(1, 0)


def test_wrong_arguments_of_the_constructor() -> None:
    for wrong in (None, 42, b"PYRO:x@y:1"):
        with pytest.raises(TypeError, match="expected Pyro URI"):
            fastpyro.Proxy(wrong)  # type: ignore[arg-type]
    with pytest.raises(errors.PyroError):
        fastpyro.Proxy("PYRO:x@hostname")


def test_remote_error_is_raised_with_its_traceback(proxy: Any) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        proxy.divide(1, 0)
    trace = "".join(caught.value._pyroTraceback)  # type: ignore[attr-defined]
    assert "in divide" in trace
    text = "".join(errors.get_pyro_traceback(caught.value))
    assert "Remote traceback" in text
    assert "in divide" in text
    assert proxy.divide(1, 2) == 0.5


def test_unknown_user_exception_arrives_as_remote_error(proxy: Any) -> None:
    with pytest.raises(errors.RemoteError) as caught:
        proxy.stock("tea", 3)
    assert caught.value.class_name == "__main__.StockError"
    assert caught.value.args == ("3 tea missing",)
    assert caught.value.attributes == {"item": "tea", "missing": 3}
    assert "StockError" in str(caught.value)


def test_registered_user_exception_arrives_as_itself(proxy: Any) -> None:
    class StockError(Exception):
        item: str
        missing: int

    fastpyro.register_exception(StockError, "__main__.StockError")
    try:
        with pytest.raises(StockError) as caught:
            proxy.stock("tea", 3)
        assert (caught.value.item, caught.value.missing) == ("tea", 3)
    finally:
        from fastpyro.values import exceptions

        exceptions._classes.pop("__main__.StockError")


def test_system_exit_in_a_method_is_told_to_the_caller(proxy: Any) -> None:
    with pytest.raises(errors.RemoteError, match="SystemExit"):
        proxy.exit()
    assert proxy.add(1, 1) == 2


def test_communication_error_of_the_method_itself_is_told(proxy: Any) -> None:
    with pytest.raises(errors.CommunicationError, match="own peer is away"):
        proxy.communication_failure()
    assert proxy._pyroConnection is not None
    assert proxy.add(1, 1) == 2


def test_unserializable_argument_fails_here_and_the_connection_stays(proxy: Any) -> None:
    proxy._pyroBind()
    connection = proxy._pyroConnection
    with pytest.raises(errors.SerializeError, match="lock"):
        proxy.echo(threading.Lock())
    assert proxy.add(1, 1) == 2
    assert proxy._pyroConnection is connection


def test_unserializable_result_is_an_error_and_the_connection_stays(proxy: Any) -> None:
    with pytest.raises(errors.SerializeError, match="lock"):
        proxy.unserializable()
    assert proxy.add(1, 1) == 2


def test_unknown_private_and_unexposed_names(server: SubjectServer, proxy: Any) -> None:
    for name in ("nothing", "_private", "__secret__", "limit"):
        with pytest.raises(AttributeError):
            getattr(proxy, name)
    assert not hasattr(proxy, "nothing")
    with fastpyro.Proxy(server.uri("half")) as half:
        assert half.shown() == "shown"
        for name in ("hidden", "hidden_attribute"):
            with pytest.raises(AttributeError, match="no exposed attribute or method"):
                getattr(half, name)
        # The server refuses as well, whatever the client's metadata says.
        for name in ("hidden", "_secret", "__class__", "shown.__func__", "__reduce__"):
            with pytest.raises(AttributeError):
                half._pyroInvoke(name, (), {})
        for name in ("hidden_attribute", "__class__", "_secret", "shown"):
            with pytest.raises(AttributeError):
                half._pyroInvoke("__getattr__", (name,), None)
            with pytest.raises(AttributeError):
                half._pyroInvoke("__setattr__", (name, 1), None)


def test_remote_attributes(proxy: Any) -> None:
    proxy.level = 7
    assert proxy.level == 7
    assert proxy.read_only == "fixed"
    with pytest.raises(AttributeError, match="read-only"):
        proxy.read_only = 1
    with pytest.raises(AttributeError, match="no exposed attribute 'new'"):
        proxy.new = 1


def test_forwarded_special_methods(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri("half")) as half:
        with pytest.raises(TypeError):
            len(half)
        with pytest.raises(TypeError):
            list(half)
        assert bool(half)


def test_len_index_and_iteration_are_forwarded(tmp_path: Any) -> None:
    program = tmp_path / "sequence.py"
    program.write_text(
        "import fastpyro\n"
        "class Sequence:\n"
        "    items = [1, 2, 3]\n"
        "    @fastpyro.expose\n"
        "    def __len__(self): return len(self.items)\n"
        "    @fastpyro.expose\n"
        "    def __getitem__(self, index): return self.items[index]\n"
        "    @fastpyro.expose\n"
        "    def __setitem__(self, index, value): self.items[index] = value\n"
        "    @fastpyro.expose\n"
        "    def __delitem__(self, index): del self.items[index]\n"
        "daemon = fastpyro.Daemon(host='127.0.0.1')\n"
        "print('uri =', daemon.register(Sequence()), flush=True)\n"
        "daemon.requestLoop()\n"
    )
    from server_process import ServerProcess

    with ServerProcess(program) as process, fastpyro.Proxy(process.wait_for(r"uri = (\S+)")[1]) as sequence:
        assert len(sequence) == 3
        assert sequence[1] == 2
        sequence[1] = 20
        del sequence[0]
        assert list(sequence) == [20, 3]
        with pytest.raises(IndexError):
            sequence[9]


def test_dir_shows_remote_names(proxy: Any) -> None:
    proxy._pyroBind()
    assert {"add", "level", "_pyroRelease"} <= set(dir(proxy))
    assert not [name for name in dir(proxy) if name.startswith(("_private", "_pyro_", "__pyx_"))]


def test_help_and_signature_come_from_the_server(proxy: Any) -> None:
    method = proxy.add
    assert method.__name__ == "add"
    assert method.__doc__ == "Return the sum of two numbers."
    assert str(inspect.signature(method)) == "(left: 'int', right: 'int' = 10) -> 'int'"
    assert inspect.isroutine(method)


def test_equality_hash_copy_and_pickle(server: SubjectServer) -> None:
    proxy: Any = fastpyro.Proxy(server.uri())
    proxy._pyroOneway.add("echo")
    proxy._pyroTimeout = 3
    proxy._pyroMaxRetries = 2
    other = fastpyro.Proxy(server.uri())
    assert proxy == other
    assert hash(proxy) == hash(other)
    assert proxy != fastpyro.Proxy(server.uri("half"))
    assert proxy != 42
    proxy._pyroBind()
    copied = copy.copy(proxy)
    assert copied == proxy
    assert copied._pyroConnection is None
    assert "echo" in copied._pyroOneway
    assert (copied._pyroTimeout, copied._pyroMaxRetries) == (3, 2)
    assert copied.add(1, 2) == 3
    again = pickle.loads(pickle.dumps(proxy))
    assert again == proxy
    assert again.add(1, 2) == 3
    travelled = native.loads(native.dumps(proxy))
    assert travelled == proxy
    assert travelled.add(1, 2) == 3
    for each in (proxy, copied, again, travelled):
        each._pyroRelease()


class MyProxy(fastpyro.Proxy):
    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.__dict__["invoked"] = []

    def _pyroInvoke(self, methodname: str, vargs: Any, kwargs: Any, flags: int = 0, objectId: Any = None) -> Any:
        self.__dict__["invoked"].append(methodname)
        return super()._pyroInvoke(methodname, vargs, kwargs, flags, objectId)


def test_subclass_sees_every_call(server: SubjectServer) -> None:
    with MyProxy(server.uri()) as proxy:
        proxy.add(1, 1)
        proxy.level = 3
        assert proxy.level == 3
        assert next(proxy.numbers(2)) == 0
        assert proxy.invoked[:4] == ["add", "__setattr__", "__getattr__", "numbers"]
        assert "get_next_stream_item" in proxy.invoked
        assert type(copy.copy(proxy)) is MyProxy


def test_oneway_declared_by_the_server(proxy: Any) -> None:
    before = len(proxy.all_notes())
    assert proxy.note("a") is None
    assert len(proxy.all_notes()) == before + 1
    proxy._pyroOneway = set()
    assert proxy.note("b") is None  # now a blocking call


@pytest.mark.parametrize("way", ["add", "update"])
def test_oneway_asked_for_by_the_client_before_connecting(server: SubjectServer, way: str) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        if way == "add":
            proxy._pyroOneway.add("note_blocking")
        else:
            proxy._pyroOneway.update(["note_blocking", "no_such_method"])
            assert proxy.no_such_method() is None  # silently nothing
        assert proxy.note_blocking("x") is None
        proxy._pyroRelease()
        assert proxy.note_blocking("x") is None  # also after a reconnect
        assert fastpyro.Proxy(server.uri()).note_blocking("y") >= 2


def test_oneway_errors_are_invisible(proxy: Any) -> None:
    proxy._pyroOneway.add("divide")
    assert proxy.divide(1, 0) is None
    assert proxy.add(1, 1) == 2


def test_stream_of_results(proxy: Any) -> None:
    assert list(proxy.numbers(5)) == [0, 1, 2, 3, 4]
    stream = proxy.failing_numbers()
    assert next(stream) == 1
    with pytest.raises(ValueError, match="no second number"):
        next(stream)


def test_annotations_and_correlation_id_travel(proxy: Any) -> None:
    context = fastpyro.current_context
    identity = uuid.uuid4()
    context.annotations = {"ABCD": b"from client"}
    context.correlation_id = identity
    try:
        seen = proxy.context()
        assert seen["annotations"] == {"ABCD": b"from client"}
        assert seen["correlation_id"] == str(identity)
        assert "127.0.0.1" in seen["client"]
        assert context.response_annotations == {"RESP": b"from server"}
        proxy.add(1, 1)
        assert context.response_annotations == {}
    finally:
        context.annotations = {}
        context.correlation_id = None
    assert proxy.context()["annotations"] == {}


def test_wrong_annotations_are_refused_before_sending(proxy: Any) -> None:
    proxy.add(1, 1)
    fastpyro.current_context.annotations = {"TOO LONG": b""}
    try:
        with pytest.raises(errors.ProtocolError, match="4 ASCII characters"):
            proxy.add(1, 1)
    finally:
        fastpyro.current_context.annotations = {}
    assert proxy.add(1, 1) == 2


def test_registered_result_arrives_as_proxy(proxy: Any) -> None:
    child = proxy.make_child()
    assert isinstance(child, fastpyro.Proxy)
    assert child.name() == "child"
    child._pyroRelease()


def test_sharing_among_threads(proxy: Any) -> None:
    right: list[bool] = []

    def work(number: int) -> None:
        right.extend(proxy.echo(number, index) == ((number, index), {}) for index in range(100))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 800


def test_only_one_of_many_threads_connects(server: SubjectServer) -> None:
    proxy = fastpyro.Proxy(server.uri())
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(proxy._pyroBind())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 19 + [True]
    proxy._pyroRelease()


def test_the_names_of_methods_are_str() -> None:
    proxy = fastpyro.Proxy("PYRO:object@127.0.0.1:1")
    with pytest.raises(TypeError, match="the name of a method is a str, not 7"):
        proxy._pyroMethods = {7}  # type: ignore[arg-type]
