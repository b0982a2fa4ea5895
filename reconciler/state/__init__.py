"""The key-value stores that guests read.

Belongs here: where values lie and how they are reached. Does not: which plugin may read which store
(reconciler.host.services), how a guest asks (reconciler.wasm), the text of the stores file (api).
"""
