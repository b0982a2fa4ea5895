"""The page at the admin port's `/`, and what only it asks for.

Belongs here: the page's files, the stream that keeps it current, the past revisions, the try-it box. Does not: changing
desired state (the page uses the Kubernetes API for that, as everybody), deciding who may (`api.access`).
"""
