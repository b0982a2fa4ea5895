"""Following the WasmPlugin objects of a Kubernetes API: a cluster's, or another daemon's (the hub).

Every node follows for itself; there is no leader. Objects go to a `specs.mirror` source, and what is observed goes back
as the node's own entry in the objects' status. Belongs here: the client's side of the Kubernetes API. Does not: the
server's side (`api.kube`), running plugins.
"""
