"""How many instances of a pool each worker holds. Pure."""

from collections.abc import Mapping, Sequence
from zlib import crc32


def home(name: str, workers: int) -> int:
    """The worker that is the first to get instances of what `name` names. The same at every start."""
    return crc32(name.encode()) % workers


def shares(instances: int, first: int, available: Sequence[int], *, together: bool = False) -> Mapping[int, int]:
    """Instances by worker. Their sum is `instances`; no share is more than one larger than another.

    Those after `first` come next, so that plugins with few instances are spread over all workers. `together` keeps all
    on one worker. With no instances, one worker has a pool without any; with no worker there is no share.
    """
    if not available:
        return {}
    order = sorted(available, key=lambda worker: (worker < first, worker))
    if together or instances == 0:
        return {order[0]: instances}
    each, more = divmod(instances, len(order))
    return {worker: each + (place < more) for place, worker in enumerate(order) if each or place < more}
