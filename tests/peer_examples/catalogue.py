"""The peers' examples that run without a screen: which programs, what they are told, what proves that they worked.

What is expected was established by running them on the peers themselves (`run.py --with peer`). Not here: examples
that need a window, a foreign machine, root, or packages beside the library; and those whose certificates have expired.
"""

from __future__ import annotations

from peer_examples.catalogue_basics import BASICS
from peer_examples.catalogue_connections import CONNECTIONS
from peer_examples.catalogue_networks import NETWORKS

EXAMPLES = (*BASICS, *CONNECTIONS, *NETWORKS)
