"""Observed state and convergence: what runs, and how it comes to be what is desired.

Read in this order: core (the decision), control (the loop), host (the pools), wasm (the guests), state (what guests
may read). Desired state itself is in the package specs; HTTP and the command are in api.
"""
