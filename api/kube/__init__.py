"""The Kubernetes API of the daemon: discovery, objects, watches, tables, server-side apply, as a custom resource has them.

Belongs here: the protocol. Reading is done from watch caches (cache.py) that are fed by the desired state and the
status board; writing ends in the file that owns the plugin, through `specs.writer`, exactly as the other endpoints do.
Does not: deciding what runs. Nothing in here can reach the reconciler.
"""
