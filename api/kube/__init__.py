"""The Kubernetes API of the daemon, as a custom resource has it: discovery, objects, watches, tables, apply.

Belongs here: the protocol. Reading is done from watch caches (cache.py) that are fed by the desired state and the
status board; writing ends in the file that owns the plugin, through `specs.writer`, exactly as the other endpoints do.
Does not: deciding what runs. Nothing in here can reach the reconciler.
"""
