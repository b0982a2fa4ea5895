"""Numbers for machines: `/metrics`.

    meters (histogram, requests, control)   count while the daemon works; plain numbers, no library
    collect                                 turns what meters and lower layers know into metrics, when asked
    endpoint                                answers the scrape

Belongs here: what is counted, and under which name. Does not: showing numbers to people (the command line, the page).
Only `collect` and `endpoint` import prometheus_client: its own counters cost too much on a request's way.
"""
