"""What `proxy.name` gives for a remote method: a callable that also tells its signature and docstring.

The call itself is native code, in `_proxy`. Knows the proxy only by `_pyroUri` and `_pyro_member_details`.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.client._proxy import RemoteMethodCore

if TYPE_CHECKING:
    import inspect
    from typing import Any

__all__ = ["RemoteMethod"]


class RemoteMethod(RemoteMethodCore):
    """A method of a remote object. Calling it performs the remote call.

    Returns what the method returns (None at once for a oneway method); raises what it raises, or CommunicationError.
    After a lost connection or a timeout the call is repeated ``proxy._pyroMaxRetries`` times.
    """

    __slots__ = ()

    def __get__(self, instance: object, owner: type | None = None) -> RemoteMethod:
        # Being a descriptor makes inspect and help() treat it as the routine that it is.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._proxy, self.__name__)  # so that a pool of processes can call it

    def __repr__(self) -> str:
        return f"<remote method {self.__name__} of {self._proxy._pyroUri}>"

    def __getattr__(self, name: str) -> str:
        if name == "__qualname__":  # a class body cannot define it as a property
            return self.__name__
        raise AttributeError(f"a remote method has no attribute {name!r}")

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        doc: str | None = self._proxy._pyro_member_details(self.__name__).get("doc")
        return doc

    @property
    def __signature__(self) -> inspect.Signature:
        """The remote method's signature; AttributeError when the server does not tell it."""
        from fastpyro.client.signatures import signature_from_state

        state = self._proxy._pyro_member_details(self.__name__).get("signature")
        if state is None:
            raise AttributeError(f"the signature of {self.__name__} is not known")
        return signature_from_state(state)
