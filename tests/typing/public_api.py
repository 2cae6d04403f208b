"""What a type checker must conclude from the public API; `make types` reads it, nothing runs it."""

from __future__ import annotations

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


def decorators_keep_types(account: Account, bank: Bank) -> None:
    assert_type(account.log("one"), None)
    assert_type(account.deposit(1), int)
    assert_type(account.balance, int)
    assert_type(bank.open(), Account)


def server(daemon: fastpyro.Daemon) -> None:
    uri = daemon.register(Account)
    assert_type(uri, fastpyro.URI)
    assert_type(uri.port, int | None)


def client(uri: fastpyro.URI) -> None:
    with fastpyro.Proxy(uri) as account:
        assert_type(account, fastpyro.Proxy)
        assert_type(account.deposit(3), Any)
    fastpyro.Proxy("PYRONAME:bank")


def errors(error: fastpyro.errors.ConnectionClosedError) -> None:
    communication: fastpyro.errors.CommunicationError = error
    builtin: ConnectionError = error
    print(communication, builtin)
