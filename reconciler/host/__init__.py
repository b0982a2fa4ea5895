"""The pool host: pools of instances, the routes to them, the modules they run.

Belongs here: starting, leasing and closing instances, whatever their kind. Does not: what a guest speaks
(reconciler.wasm), what should run (reconciler.control), HTTP (api).
"""
