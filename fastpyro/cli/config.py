"""Print versions and all configuration items, as they are with this environment."""

from __future__ import annotations

import argparse

__all__ = ["EPILOG", "add_arguments", "run"]

EPILOG = "Set items with environment variables: PYRO_NS_PORT=9999, or FASTPYRO_NS_PORT=9999."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments: there are none."""


def run(options: argparse.Namespace) -> int:
    """Print the configuration."""
    from fastpyro.config import config

    print(config.dump())
    return 0
