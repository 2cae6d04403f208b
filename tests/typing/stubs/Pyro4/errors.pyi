from fastpyro.compat.pyro4.errors import *  # noqa: F403
