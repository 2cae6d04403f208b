"""Runs the example programs of Pyro4 and Pyro5, unchanged, on the peer itself or on fastpyro's facades.

`run.py` is the command; `catalogue` says what there is to run and what must come out, and knows no processes.
"""
