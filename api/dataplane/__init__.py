"""The data plane: the listener that answers requests with pooled guests.

    server.py       DataPlane: bind, the `data` thread and its event loop, drain, stop
    versions.py     which HTTP version a new connection speaks
    http1.py        one HTTP/1.x connection: order, deadlines, back pressure, bytes of an answer
    http1_reader.py bytes -> requests, bounded and strict (httptools); no sockets, no clock
    http2.py        one HTTP/2 connection, over h2: streams, windows, bounds
    http2_stream.py one request of such a connection
    http2_head.py   header fields of HTTP/2 -> a request
    exchange.py     one request's way, whatever the protocol: lease, wait, call, answer
    routing.py      which route a request names
    answers.py      what goes out: error bodies, and guests' answers made safe
    forwarding.py   with several worker processes: requests that this one cannot answer at once
    seeking.py      a waiting request that asks other workers
    offers.py       what one worker does for another
    peers.py        what workers say to each other for that
    engine_room.py  the loop, the mailbox and the threads, for all who use them
    threads.py      the threads that long guests run on
    mailbox.py      how other threads reach the loop
    connections.py  all open connections: their number, their deadlines, draining
    listen.py       a listening socket, or a sentence that says why not
    settings.py     the bounds

Belongs here: everything between a client's bytes and `Dispatcher`. Does not: which instance answers, queues and
limits of plugins (reconciler.host), and anything that changes desired state.
"""
