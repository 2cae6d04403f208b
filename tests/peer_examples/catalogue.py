"""The peers' examples: those that are run, and why the others are not.

What is expected of them was established by running them on the peers themselves (`run.py --with peer`).
"""

from __future__ import annotations

from peer_examples.catalogue_basics import BASICS
from peer_examples.catalogue_connections import CONNECTIONS
from peer_examples.catalogue_networks import NETWORKS

EXAMPLES = (*BASICS, *CONNECTIONS, *NETWORKS)

# By the name of their folder.
NOT_RUN: dict[str, str] = {
    "deadlock": "shows how the peer hangs, and so never comes to an end",
    "extended-pickle": "needs cloudpickle and dill",
    "flame": "runs whatever code a client sends, which fastpyro does not offer",
    "gui_eventloop": "needs a screen",
    "itunes": "needs macOS",
    "privilege-separation": "needs root",
    "robots": "needs a screen",
    "timezones": "needs pytz, dateutil and pendulum",
}
