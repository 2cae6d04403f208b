from fastpyro.compat.pyro4.configuration import *  # noqa: F403
from fastpyro.compat.pyro4.configuration import ITEMS as ITEMS
