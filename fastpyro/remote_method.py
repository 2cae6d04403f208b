"""What `proxy.name` gives for a remote method: a callable that also tells its signature and docstring.

Knows the proxy only by `_pyroInvoke`, `_pyroMaxRetries` and `_pyro_member_details`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastpyro.errors import ConnectionClosedError, TimeoutError

if TYPE_CHECKING:
    import inspect

    from fastpyro.proxy import Proxy

__all__ = ["RemoteMethod"]


class RemoteMethod:
    """A method of a remote object. Calling it performs the remote call.

    Returns what the method returns (None at once for a oneway method); raises what it raises, or CommunicationError.
    After a lost connection or a timeout the call is repeated ``proxy._pyroMaxRetries`` times.
    """

    __slots__ = ("__name__", "_proxy")

    def __init__(self, proxy: Proxy, name: str) -> None:
        self._proxy = proxy
        self.__name__ = name

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        proxy = self._proxy
        if not proxy._pyroMaxRetries:
            return proxy._pyroInvoke(self.__name__, args, kwargs)
        for _ in range(proxy._pyroMaxRetries):
            try:
                return proxy._pyroInvoke(self.__name__, args, kwargs)
            except (ConnectionClosedError, TimeoutError):
                pass  # the next attempt connects anew
        return proxy._pyroInvoke(self.__name__, args, kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> RemoteMethod:
        # Being a descriptor makes inspect and help() treat it as the routine that it is.
        return self

    def __repr__(self) -> str:
        return f"<remote method {self.__name__} of {self._proxy._pyroUri}>"

    def __getattr__(self, name: str) -> str:
        if name == "__qualname__":  # a class body cannot define it as a property
            return self.__name__
        raise AttributeError(f"a remote method has no attribute {name!r}")

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self._proxy._pyro_member_details(self.__name__).get("doc")

    @property
    def __signature__(self) -> inspect.Signature:
        """The remote method's signature; AttributeError when the server does not tell it."""
        from fastpyro.signatures import signature_from_state

        state = self._proxy._pyro_member_details(self.__name__).get("signature")
        if state is None:
            raise AttributeError(f"the signature of {self.__name__} is not known")
        return signature_from_state(state)
