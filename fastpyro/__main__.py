"""``python -m fastpyro`` is the command line of `cli`."""

from __future__ import annotations

import sys

from fastpyro.cli import main

sys.exit(main())
