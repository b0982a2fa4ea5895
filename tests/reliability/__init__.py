"""A real daemon that is killed, starved and changed while it serves."""
