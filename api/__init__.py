"""The faces of the daemon: HTTP endpoints, the command line, and the place where the parts are put together.

Belongs here: reading requests, answering them, processes and sockets. Does not: deciding what should run
(`specs`) or making it run (`reconciler`). An endpoint sees the lower layers only through `api.ports`, and an
endpoint that changes something does so by editing desired state, never by starting or stopping a guest.
"""
