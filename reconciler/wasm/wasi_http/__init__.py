"""The guest kind wasi-http: components that export `wasi:http/incoming-handler` 0.2.

The engine can make outgoing HTTP requests for components but no incoming ones, so `wasi:http/types` is ours: requests,
responses, headers and bodies are Python objects that a guest holds by number. The bytes of bodies never pass through
Python callbacks: streams are the engine's own, over memory and memory files (streams.py).

Nothing outside the kind protocol (reconciler.wasm.kind) is of use to others here.
"""
