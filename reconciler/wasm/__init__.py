"""The guests: the engine, what each kind of module is told and asked, and nothing of pools or routes.

Belongs here: everything that knows wasmtime, the ABIs, and the capabilities that guests have. Does not: how many
instances run (reconciler.host), who wants them (reconciler.control), HTTP servers (api).
"""
