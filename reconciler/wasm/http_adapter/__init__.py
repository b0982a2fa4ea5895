"""The adapter: a small component that stands between an HTTP component and the host.

A request costs an HTTP component some twenty calls of its host: for each header, each stream, each handle that it
drops. From wasm to Python such a call takes ten microseconds, from wasm to wasm a tenth of one. So `wasi:http/types`
and `wasi:io` are here once more, in C, as a component (source/), and a component that imports little else is put
together with it into one. That one calls Python twice for a request: for the whole of it, and with the whole answer.

Belongs here: the adapter and how the two are put together. Does not: running them (wasi_http.light).
"""
