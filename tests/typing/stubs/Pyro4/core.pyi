from fastpyro.compat.pyro4.core import *  # noqa: F403
