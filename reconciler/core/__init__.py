"""The pure core: decisions and words.

Belongs here: values and functions of values; states, observations, plans, the diff, revisions, conditions, backoff.
Does not: threads, clocks, files, sockets, the engine. Time comes in as a number.
"""
