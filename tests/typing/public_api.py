"""What a type checker must conclude from the public API; `make types` reads it, nothing runs it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, assert_type

import fastpyro


@fastpyro.expose
class Account:
    """A class as a user writes it: the decorators must hand it back with its own type."""

    @fastpyro.oneway
    def log(self, line: str) -> None:
        print(line)

    @property
    def balance(self) -> int:
        return 3

    def deposit(self, amount: int) -> int:
        return self.balance + amount


@fastpyro.expose
@fastpyro.behavior(instance_mode="single")
class Bank:
    def open(self) -> Account:
        return Account()


class Instrument:
    @property
    @fastpyro.expose
    def name(self) -> str:  # above a property mypy takes no decorator
        return "voltmeter"


def decorators_keep_types(account: Account, bank: Bank, instrument: Instrument) -> None:
    assert_type(account.log("one"), None)
    assert_type(account.deposit(1), int)
    assert_type(account.balance, int)
    assert_type(bank.open(), Account)
    assert_type(instrument.name, str)


def server(daemon: fastpyro.Daemon) -> None:
    uri = daemon.register(Account)
    assert_type(uri, fastpyro.URI)
    assert_type(uri.port, int | None)


def client(uri: fastpyro.URI) -> None:
    with fastpyro.Proxy(uri) as account:
        assert_type(account, fastpyro.Proxy)
        assert_type(account.deposit(3), Any)
        account.balance = 5
        account._pyroTimeout = 2.5
        account._pyroTimeout = None
    fastpyro.Proxy("PYRONAME:bank")
    fastpyro.config.COMMTIMEOUT = 2.5
    assert_type(fastpyro.resolve("PYRONAME:bank"), fastpyro.URI)


class OwnProxy(fastpyro.Proxy):
    """Blocks and copies of a subclass are of that subclass."""


class OwnDaemon(fastpyro.Daemon):
    pass


def subclasses(uri: fastpyro.URI) -> None:
    with OwnProxy(uri) as proxy, OwnDaemon() as daemon:
        assert_type(proxy, OwnProxy)
        assert_type(copy.copy(proxy), OwnProxy)
        assert_type(daemon, OwnDaemon)


def asynchronous(proxy: fastpyro.Proxy, wanted: bool) -> None:
    twin = fastpyro.asyncproxy(proxy)
    assert_type(twin, fastpyro.AsyncProxy)
    assert_type(fastpyro.asyncproxy(twin), fastpyro.AsyncProxy)
    assert_type(fastpyro.asyncproxy(proxy, False), fastpyro.Proxy)
    with twin as same:
        assert_type(same, fastpyro.AsyncProxy)
    result = fastpyro.Future(len)([1, 2]).then(str)
    assert_type(result, fastpyro.FutureResult)
    assert_type(result.value, Any)
    assert_type(result.wait(1.5), bool)
    fastpyro.asyncproxy(proxy, wanted)


async def awaiting(twin: fastpyro.AsyncProxy, result: fastpyro.FutureResult) -> None:
    assert_type(await twin.deposit(3), Any)
    assert_type(await result, Any)


def batches(proxy: fastpyro.Proxy) -> None:
    calls = fastpyro.batch(proxy)
    calls.deposit(3)
    assert_type(calls(), Iterator[Any])
    assert_type(calls(oneway=True), None)
    assert_type(calls(asynchronous=True), fastpyro.FutureResult)
    with proxy._pyroBatch() as block:
        assert_type(block, fastpyro.BatchProxy)


@fastpyro.register_class
class Point:
    pass


@fastpyro.register_class(name="shop.Place")
class Place:
    pass


def registered(point: Point, place: Place) -> None:
    assert_type(point, Point)
    assert_type(place, Place)


def errors(error: fastpyro.errors.ConnectionClosedError, remote: fastpyro.errors.RemoteError) -> None:
    communication: fastpyro.errors.CommunicationError = error
    builtin: ConnectionError = error
    print(communication, builtin)
    assert_type(remote.class_name, str)
    assert_type(remote.missing, Any)  # what the remote exception had
    assert_type(remote._pyroTraceback, list[str] | None)
