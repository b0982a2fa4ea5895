"""Modules that lie elsewhere: behind a url, or in an OCI registry.

A spec is not trusted with where it leads: every connection goes to an address that was checked after DNS, on every
redirect, and everything is bounded in size and in time.

Belongs here: HTTP redirects and retries, the registry protocol, layouts of images. Does not: digests of content,
keeping what was fetched (reconciler.host.supply, reconciler.host.content), which addresses are public
(reconciler.core.addresses), sockets (reconciler.wasm.egress).
"""
