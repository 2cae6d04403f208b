from fastpyro.compat.pyro4.utils.flameserver import *  # noqa: F403
