"""What is said of each plugin: stored by the reconcile thread, read by everybody. Reading never computes or acts."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.control.rollouts import Rollout
from reconciler.core.conditions import ConditionState
from reconciler.core.observed import ObservedPlugin
from reconciler.core.revision import InstanceLimits
from reconciler.core.states import Condition
from specs.store import Desired, Owner


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """The status of one plugin, as of its last pass. `uid` tells it from an earlier plugin of the same name."""

    uid: str
    generation: int
    owner: Owner
    shadowed: tuple[Owner, ...]
    instances: int
    desired_revision: str
    last_good: str
    observed: ObservedPlugin
    conditions: tuple[ConditionState, ...]
    history: tuple[Rollout, ...] = ()

    def condition(self, kind: Condition) -> ConditionState | None:
        """One condition, where it is present."""
        return next((state for state in self.conditions if state.type is kind), None)

    @property
    def settled(self) -> bool:
        """Whether waiting longer makes no sense: ready, or failed in a way that shows."""
        ready = self.condition(Condition.READY)
        if ready is not None and ready.status == "True":
            return True
        progressing = self.condition(Condition.PROGRESSING)
        return progressing is not None and progressing.status == "False"

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data, in the shape that users read."""
        serving = self.observed.serving
        pools = self.observed.pools
        return {
            "observedGeneration": self.generation,
            "owner": self.owner.to_dict(),
            "revision": {
                "desired": self.desired_revision,
                "serving": serving.revision if serving is not None else "",
                "lastGood": self.last_good,
                "history": [rollout.to_dict() for rollout in self.history],
            },
            "instances": {
                "desired": self.instances,
                "ready": serving.ready if serving is not None else 0,
                "busy": sum(pool.busy for pool in pools),
                "draining": sum(pool.busy for pool in pools if not pool.serving) + (serving.retiring if serving else 0),
                "restarts": sum(pool.restarts for pool in pools),
            },
            "enforced": _enforced(serving.limits) if serving is not None else {},
            "conditions": [
                {
                    "type": str(state.type),
                    "status": state.status,
                    "reason": str(state.reason),
                    "message": state.message,
                    "lastTransitionTime": timestamp(state.since),
                }
                for state in self.conditions
            ],
            "shadowed": [owner.to_dict() for owner in self.shadowed],
        }


def _enforced(limits: InstanceLimits) -> dict[str, Any]:
    enforced = {
        "memory": limits.memory,
        "timeoutMs": round(limits.timeout * 1000),
        "startTimeoutMs": round(limits.start_timeout * 1000),
        "requestBytes": limits.request_bytes,
        "responseBytes": limits.response_bytes,
    }
    return enforced | ({"fuel": limits.fuel} if limits.fuel is not None else {})


def timestamp(seconds: float) -> str:
    """RFC 3339, as Kubernetes writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class StatusBoard:
    """All statuses. One writer, many readers; a reader may wait for a change."""

    def __init__(self) -> None:
        self._closed = False
        self._changed = threading.Condition()
        self._statuses: dict[str, PluginStatus] = {}
        self._listeners: tuple[Callable[[frozenset[str]], None], ...] = ()

    def put(self, name: str, status: PluginStatus) -> None:
        """Store a plugin's status; readers that wait look again."""
        with self._changed:
            if self._statuses.get(name) == status:
                return
            self._statuses[name] = status
            self._changed.notify_all()
        self._tell(name)

    def remove(self, name: str) -> None:
        """Nothing is said of the plugin any more."""
        with self._changed:
            if self._statuses.pop(name, None) is None:
                return
            self._changed.notify_all()
        self._tell(name)

    def status(self, name: str) -> PluginStatus | None:
        """The stored status."""
        return self._statuses.get(name)

    def names(self) -> Iterable[str]:
        """Every plugin that has a status."""
        return tuple(self._statuses)

    def get(self, name: str) -> dict[str, Any] | None:
        """A plugin's status as JSON-able data."""
        status = self._statuses.get(name)
        return None if status is None else status.to_dict()

    def list(self) -> dict[str, dict[str, Any]]:
        """All of them."""
        return {name: status.to_dict() for name, status in self._statuses.copy().items()}

    def wait(self, desired: Desired, timeout: float) -> dict[str, Any] | None:
        """Block until that plugin is ready or failed, in its generation or a later one; its status then.

        None when `timeout` seconds are over, or the board is closed.
        """

        def settled() -> bool:
            status = self._statuses.get(desired.name)
            if status is None or status.uid != desired.uid or status.generation < desired.generation:
                return False
            return status.settled

        return self.get(desired.name) if self._wait_for(settled, timeout) else None

    def wait_gone(self, name: str, timeout: float) -> bool:
        """Block until nothing of the plugin is left. False when the time is over, or the board is closed."""
        return self._wait_for(lambda: name not in self._statuses, timeout)

    def close(self) -> None:
        """End every wait. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: condition() or self._closed, timeout) and condition()

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call `listener` with the names whose status changed, on the thread that wrote it."""
        self._listeners = (*self._listeners, listener)

    def _tell(self, name: str) -> None:
        for listener in self._listeners:
            listener(frozenset((name,)))
