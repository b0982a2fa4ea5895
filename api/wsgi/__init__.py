"""Waitress, made to bear hostile and slow clients: TLS that nobody can hold up, deadlines, strict parsing.

Belongs here: what happens to bytes before they are a request and after they are an answer. Does not: endpoints.
Waitress reads all connections on one thread, and hands a request to a worker once its body is complete.
"""
