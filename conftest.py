"""Adds `pytest --benchmark`: time the benches and nothing else.

Without it each bench still runs, once and untimed, as one more test, so that none of them rots.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--benchmark", action="store_true", help="time bench/ (the same as --benchmark-only)")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--benchmark"):
        config.option.benchmark_only = True
    elif not config.option.benchmark_only:
        config.option.benchmark_disable = True
