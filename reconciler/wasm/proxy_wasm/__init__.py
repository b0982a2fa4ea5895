"""The proxy-wasm guest kind: ABI 0.1.0, 0.2.0 and 0.2.1 with Layotto's additions.

The protocol facts come from proxy-wasm/spec (abi-versions) and, where that is silent, from what proxy-wasm-cpp-host
does; Layotto's from its fork of proxy-wasm-go-host. Belongs here: numbers, serialisation, host functions, the order of
callbacks. Does not: how a function is called across the boundary (reconciler.wasm.ffi).
"""
