from fastpyro.compat.pyro4.message import *  # noqa: F403
