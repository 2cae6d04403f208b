"""The exception that server and client share, registered on both sides by being imported."""

import fastpyro


@fastpyro.register_exception
class OverdrawnError(Exception):
    """There is not enough money."""

    def __init__(self, account: str, *, missing: int) -> None:
        super().__init__(f"{missing} coins missing")
        self.account = account
        self.missing = missing
