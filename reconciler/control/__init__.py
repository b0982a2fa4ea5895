"""The control side: the loop that makes what runs into what is desired, and says how it stands.

Belongs here: the work queue, passes, statuses, events, resolving a spec. Does not: instances and requests
(reconciler.host), the decision itself (reconciler.core.diff), HTTP (api).
"""
