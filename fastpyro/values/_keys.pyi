from collections.abc import Callable, Iterable
from typing import Any

from fastpyro.values.checked import ATOMS as ATOMS
from fastpyro.values.checked import described_key as described_key
from fastpyro.values.checked import is_hashed_as_member as is_hashed_as_member

def know_pure_key(cls: type) -> None: ...
def know_hash(cls: type, rule: str, samples: Iterable[Any], function: Callable[[Any], int] | None = None) -> bool: ...
