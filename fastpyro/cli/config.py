"""``fastpyro config``: print versions and all configuration items as they are in effect."""

from __future__ import annotations

import argparse

from fastpyro.config import config

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take no arguments."""


def run(options: argparse.Namespace) -> int:
    print(config.dump())
    return 0
