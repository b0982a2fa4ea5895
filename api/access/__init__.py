"""Who may use the admin port: credentials, roles, and the checks that come before every endpoint.

Belongs here: knowing callers, refusing them, the audit line. Does not: TLS itself (`api.tls`), endpoints, and what
desired state refuses.
"""
