"""Asynchronous proxies: method calls that return a `FutureResult` at once and run in parallel in the background.

All calls of a proxy are under way at once on its connection (`pending_call`). Where that is not possible each call has a
connection of its own, on a copy of the proxy; copies are kept for a while and used again.
"""

from __future__ import annotations

import contextlib
import copy
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fastpyro._mutex import Mutex
from fastpyro.client._proxy import RememberedNames, install_remembering
from fastpyro.client.item_stream import StreamResult
from fastpyro.client.pending_call import submit
from fastpyro.errors import CommunicationError
from fastpyro.futures.future import FutureResult, run_in_background
from fastpyro.futures.thread_pool import DelayedCall, delayed_calls
from fastpyro.values.class_registry import register_type_replacement

if TYPE_CHECKING:
    from typing import Literal, Self, TypeVar, overload

    from fastpyro.client.batch import BatchProxy
    from fastpyro.client.interfaces import Caller

    AnyProxy = TypeVar("AnyProxy", bound=Caller)

__all__ = ["AsyncMethod", "AsyncProxy", "async_", "asyncproxy", "release_copies"]

MAX_IDLE_COPIES = 16
"""The most connections without a call that are kept for one proxy."""

IDLE_SECONDS = 5.0
"""How long a connection without a call is kept."""


class ProxyCopies:
    """The connected copies of one proxy that wait for the next asynchronous call.

    Rule 1: a copy is either in `_idle` or in the hands of one call.
    Rule 2: a copy is used again only while the proxy's settings are those that it was made with.

    Args:
        max_idle: the most copies to keep.
        idle_seconds: how long to keep one.
    """

    def __init__(self, max_idle: int = MAX_IDLE_COPIES, idle_seconds: float = IDLE_SECONDS) -> None:
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._lock = Mutex(reentrant=True, leaf=True)
        self._idle: list[tuple[float, Caller]] = []
        self._settings: tuple[Any, ...] = ()
        self._generation = 0
        self._next_sweep: DelayedCall | None = None

    def __del__(self) -> None:
        for _, proxy in self._idle:
            proxy._pyroRelease()
        if self._next_sweep is not None:
            self._next_sweep.cancel()

    def __len__(self) -> int:
        return len(self._idle)

    def borrow(self, original: Caller) -> tuple[Caller, int]:
        """Take the copy that was used last, or make a new one.

        Args:
            original: the proxy.

        Returns:
            The copy, and a number to give back with it.
        """
        settings = _settings_of(original)
        with self._lock.guard():
            outdated = settings != self._settings
            if outdated:
                self._generation += 1
                self._settings = settings
                dropped, self._idle = self._idle, []
            else:
                with contextlib.suppress(IndexError):  # not asked before: a destructor in between may take the last one
                    return self._idle.pop()[1], self._generation
            generation = self._generation
        if outdated:
            _release(dropped)
        return _copy_of(original), generation

    def give_back(self, proxy: Caller, generation: int) -> None:
        """Keep a copy for the next call, or release it when there are enough or the settings have changed.

        Args:
            proxy: the copy.
            generation: the number that came with it.
        """
        with self._lock.guard():
            if generation == self._generation and len(self._idle) < self._max_idle:
                self._idle.append((time.monotonic(), proxy))
                if self._next_sweep is None:
                    with contextlib.suppress(RuntimeError):  # no thread to be had: the next call tries again
                        self._plan_sweep(self._idle_seconds)
                return
        proxy._pyroRelease()

    def release(self) -> None:
        """Close the connections without a call now, and the others when their calls are done."""
        with self._lock.guard():
            self._generation += 1
            dropped, self._idle = self._idle, []
        _release(dropped)

    def _plan_sweep(self, seconds: float) -> None:
        assert self._lock.owned
        self_reference = weakref.ref(self)

        def sweep() -> None:
            copies = self_reference()
            if copies is not None:
                copies._sweep()

        self._next_sweep = delayed_calls.schedule(seconds, sweep)

    def _sweep(self) -> None:
        """Release what has been idle for too long. The copies stand in the order in which they came back."""
        limit = time.monotonic() - self._idle_seconds
        with self._lock.guard():
            dropped = [entry for entry in self._idle if entry[0] <= limit]
            self._idle = self._idle[len(dropped) :]
            self._next_sweep = None
            if self._idle:
                self._plan_sweep(self._idle[0][0] - limit)
        _release(dropped)


class _Handshake:
    """Handshake data, which somebody else may have written: only texts are compared, anything else is itself."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def __eq__(self, other: object) -> bool:
        if type(other) is not _Handshake:
            return False
        same = type(self._data) is str and type(other._data) is str and self._data == other._data
        return same or self._data is other._data

    __hash__ = None  # type: ignore[assignment]


def _settings_of(proxy: Caller) -> tuple[Any, ...]:
    return (
        str(proxy._pyroUri),
        proxy._pyroTimeout,
        proxy._pyroMaxRetries,
        proxy._pyroSerializer,
        _Handshake(proxy._pyroHandshake),
        proxy._pyroHmacKey,
        proxy._pyroRawWireResponse,
        frozenset(proxy._pyroOneway),
    )


def _copy_of(original: Caller) -> Caller:
    copied = copy.copy(original)
    copied._pyroAsync(False)  # a proxy of Pyro4's facade is asynchronous itself, and so is its copy
    for name, value in vars(original).items():
        vars(copied).setdefault(name, value)  # the fields of a subclass, which copying a proxy leaves out
    return copied


def _release(dropped: list[tuple[float, Caller]]) -> None:
    for _, proxy in dropped:
        proxy._pyroRelease()


_copies_by_proxy: dict[int, ProxyCopies] = {}
"""By the proxy's identity: proxies are equal when their URIs are, and a URI may change."""


def _copies_of(proxy: Caller) -> ProxyCopies:
    """The copies of a proxy, shared by all its asynchronous twins; they go when the proxy goes."""
    copies = _copies_by_proxy.get(id(proxy))
    if copies is None:
        copies = _copies_by_proxy.setdefault(id(proxy), ProxyCopies())
        weakref.finalize(proxy, _copies_by_proxy.pop, id(proxy), None).atexit = False
    return copies


def release_copies(proxy: Caller) -> None:
    """Close the connections that asynchronous calls of a proxy have left, and the others when their calls are done."""
    _copies_of(proxy).release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_copies_by_proxy.clear)


def _call_on_copy(proxy: Caller, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a method of a copy of the proxy, in the background thread."""
    copies = _copies_of(proxy)
    copied, generation = copies.borrow(proxy)
    try:
        value = getattr(copied, name)(*args, **kwargs)
    except CommunicationError:
        copied._pyroRelease()
        raise
    except BaseException:
        copies.give_back(copied, generation)
        raise
    if not (isinstance(value, StreamResult) and value.proxy is copied):
        copies.give_back(copied, generation)  # else the items come over its connection, which goes with the stream
    return value


class AsyncMethod:
    """What `proxy.name` gives for a method of an asynchronous proxy: a callable that starts the call.

    Everything else (signature, docstring) is that of the synchronous method.
    """

    __slots__ = ("_method", "_name", "_proxy")

    def __init__(self, proxy: Caller, name: str, method: Callable[..., Any]) -> None:
        self._proxy = proxy
        self._name = name
        self._method = method

    def __call__(self, /, *args: Any, **kwargs: Any) -> FutureResult:
        # No variable for the result: an error of sending holds this frame, which would hold the error.
        return submit(self._proxy, self._name, args, kwargs) or run_in_background(
            _call_on_copy, self._proxy, self._name, args, kwargs
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def __repr__(self) -> str:
        return f"<asynchronous {self._method!r}>"


class AsyncProxy(RememberedNames):
    """A twin of a proxy whose method calls return a `FutureResult` at once; the proxy itself stays synchronous.

    The calls run in background threads, each over a connection of its own, so that they run in parallel and end in
    any order. A oneway method gives a result whose value is None. Arguments are serialized in the background: do not
    change them after the call. Attributes, items, `len` and iteration are read and written synchronously, and so is
    everything whose name starts with `_pyro`. Sent to another process, it arrives as an ordinary proxy.

    Args:
        proxy: the proxy.

    Raises:
        TypeError: it is not a proxy.
    """

    __module__ = "fastpyro"

    __slots__ = ("__weakref__", "_proxy")

    _proxy: Caller

    def __init__(self, proxy: Caller) -> None:
        if not hasattr(type(proxy), "_pyroInvoke"):
            raise TypeError(f"expected a Proxy, not {type(proxy).__name__}")
        object.__setattr__(self, "_proxy", proxy)

    def __getattr__(self, name: str) -> Any:
        """The attribute's value, or for a method a callable that starts a call.

        Raises:
            AttributeError: the remote object has no such attribute or method.
            CommunicationError: the names are not known yet, and the server cannot be asked for them.
        """
        if name == "_proxy" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)  # half built, or asked by Python itself for what this class lacks
        proxy = self._proxy
        value = getattr(proxy, name)
        if name.startswith("_pyro") or name in proxy._pyroAttrs or not callable(value):
            return value
        return self._pyro_remember(name, AsyncMethod(proxy, name, value))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._proxy, name, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pyroRelease()

    def _pyroRelease(self) -> None:
        """Close the connections: the proxy's own, and those of asynchronous calls, when these are done."""
        release_copies(self._proxy)
        self._proxy._pyroRelease()

    def _pyroAsync(self, asynchronous: bool = True, **keywords: Any) -> AsyncProxy | Caller:
        """This proxy, or with a false argument the synchronous one."""
        return asyncproxy(self, asynchronous, **keywords)

    def _pyroBatch(self) -> BatchProxy:
        """A batch over the synchronous proxy; `batch(asynchronous=True)` runs it in the background."""
        batch: BatchProxy = self._proxy._pyroBatch()
        return batch

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} of {self._proxy!r}>"

    def __dir__(self) -> list[str]:
        return dir(self._proxy)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncProxy) and other._proxy == self._proxy

    def __hash__(self) -> int:
        return hash(self._proxy)

    def __copy__(self) -> Self:
        return type(self)(_copy_of(self._proxy))

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._proxy,)

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self._proxy)

    def __getitem__(self, index: Any) -> Any:
        return self._proxy[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._proxy[index] = value

    def __delitem__(self, index: Any) -> None:
        del self._proxy[index]

    def __contains__(self, value: Any) -> bool:
        return value in self._proxy

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._proxy)

    def __delattr__(self, name: str) -> None:
        delattr(self._proxy, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._proxy)


install_remembering(AsyncProxy)
register_type_replacement(AsyncProxy, lambda twin: twin._proxy)


def _itself(proxy: Caller) -> Caller:
    return proxy


if TYPE_CHECKING:

    @overload
    def asyncproxy(proxy: Caller | AsyncProxy, asynchronous: Literal[True] = True) -> AsyncProxy: ...
    @overload
    def asyncproxy(proxy: AsyncProxy, asynchronous: Literal[False]) -> Caller: ...
    @overload
    def asyncproxy(proxy: AnyProxy, asynchronous: Literal[False]) -> AnyProxy: ...
    @overload
    def asyncproxy(proxy: Caller | AsyncProxy, asynchronous: bool = True, **keywords: Any) -> AsyncProxy | Caller: ...


def asyncproxy(proxy: Caller | AsyncProxy, asynchronous: bool = True, **keywords: Any) -> AsyncProxy | Caller:
    """Return an asynchronous twin of a proxy; the proxy itself stays synchronous, and both can be used in turn.

    Args:
        proxy: the proxy, synchronous or asynchronous.
        asynchronous: False gives the synchronous proxy instead. `**{"async": False}` says the same.

    Returns:
        An `AsyncProxy`, or the synchronous proxy.

    Raises:
        TypeError: not a proxy, or an unknown keyword.
    """
    asynchronous = keywords.pop("async", asynchronous)
    if keywords:
        raise TypeError(f"asyncproxy() got an unexpected keyword argument '{next(iter(keywords))}'")
    if isinstance(proxy, AsyncProxy):
        return proxy if asynchronous else proxy._proxy
    twin = AsyncProxy(proxy)
    return twin if asynchronous else proxy


async_ = asyncproxy
