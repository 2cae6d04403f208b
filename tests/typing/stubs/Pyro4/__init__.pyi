# What the facade gives under the name of Pyro4, which has no annotations of its own.
from fastpyro.compat.pyro4 import *  # noqa: F403

from . import naming as naming
from . import nsc as nsc
