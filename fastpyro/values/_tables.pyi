from typing import Any

from fastpyro.values.checked import ATOMS as ATOMS
from fastpyro.values.checked import PURE_KEYS as PURE_KEYS

def check_keys(keys: list[Any], of_set: bool = False) -> None: ...
def cost_of(count: int, of_set: bool = False) -> int: ...
