"""Worker processes as the daemon puts them together: `serve --workers N`.

    plane.py     the control side: the data plane of all workers as one, and what they tell besides
    entry.py     a worker process's parts, put together
    reports.py   what workers tell besides: counts, log lines, what guests measure
    counts.py    the worker's side of that: what was counted since the last look

Belongs here: which parts live where. Does not: how processes are started and spoken to (reconciler.workers), and how
requests go from one to another (api.dataplane.forwarding).
"""
