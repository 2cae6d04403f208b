"""Settings that all tests share: how hard Hypothesis tries, chosen by the variable HYPOTHESIS_PROFILE.

`dev` is for the desk, `ci` finds the same failures each time, `fuzz` is random and runs for minutes.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

# No profile has a deadline: a slow machine, or the sanitizers, would make a time limit fail at random.
SHARED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("dev", max_examples=100, **SHARED)
settings.register_profile("ci", max_examples=250, derandomize=True, print_blob=True, **SHARED)
settings.register_profile("fuzz", max_examples=20_000, print_blob=True, **SHARED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
