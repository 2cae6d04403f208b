from fastpyro.compat.pyro4.utils.flame import *  # noqa: F403
