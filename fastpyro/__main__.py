"""``python -m fastpyro`` is the command ``fastpyro``."""

from fastpyro.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
