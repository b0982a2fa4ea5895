"""Desired state: which plugins should run, and the files that say so.

Belongs here: the object that people write (model), reading it from text (text, elements, document, layotto), following
over time (followed, directory, config_file, watch, sync), merging sources into one desired state (store, identity),
and changing a file without harming what else is in it (edit, writer). Files are the only desired state: what the
state directory keeps (identity) is metadata, and losing it loses no plugin.

Does not belong here: anything observed, engines, HTTP, threads that run guests. The only libraries beyond pydantic are
yaml, imported by yaml_text alone, and watchdog, imported by watch alone.
"""
