"""Daemons that follow another one's objects, as they would a cluster's."""
