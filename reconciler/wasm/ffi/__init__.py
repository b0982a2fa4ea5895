"""The boundary to guest code: host functions, calls, memory. Alone in the project, it knows the engine's C API.

wasmtime's Python API takes 25 us for a call and 12 us for a host function, and keeps process-global state for both.
The C API underneath, through the ctypes binding that the package ships, takes less than 1 us for either and keeps
none. `fast` uses it after checking that the package is of the version and layout it was written for; `safe` does the
same over the public API, and is what is used otherwise. One contract test runs over both.

Whoever calls a guest sets an epoch deadline first. A store is used by one thread at a time.
"""
