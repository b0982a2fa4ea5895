"""A simulation of many nodes that follow one server: the real decisions and waits, a fake clock, fake hosts.

Real: `reconciler.core.diff` and `api.cluster.pace`. Fake: time, the network, the pool hosts, and the server, which is a
queue in front of one core with the costs that were measured on a real hub.
"""
