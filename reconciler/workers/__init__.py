"""The pool host in worker processes: the same seam as reconciler.host, and native crashes stay on its far side.

    control process                          worker processes, one PoolHost and one data plane each
    reconcile loop -> RemoteHost  ---Apply-->  Worker -> PoolHost
         board     <- local copy  <--Seen----

    messages.py  what the two sides say to each other, as plain frozen values
    wire.py      frames on a Unix socket, file descriptors among them; the control side's end never blocks
    nursery.py   the process that worker processes are forked from
    crew.py      the worker processes: started, started again with a backoff, listened to; the thread `workers`
    spread.py    how many instances each worker holds (pure)
    merge.py     one observation of what several workers observed (pure)
    records.py   what the control side knows of a pool: what was asked for, and what each worker last said of it
    host.py      RemoteHost: the pool host, as the control side sees it
    worker.py    the worker's side: does what it is told, says what changed

Belongs here: moving the seam between processes. Does not: what a pool is (reconciler.host), what a data plane is and
how requests go from one worker to another (api), when to do what (reconciler.core).
"""
