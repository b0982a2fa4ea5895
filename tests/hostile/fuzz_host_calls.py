"""Random sequences of host calls, in a process of their own: what crashes it is found by its exit code.

    python -m tests.hostile.fuzz_host_calls --seed 1 --count 100000

Prints one JSON object: how many sequences ran, the longest in seconds, how much the resident memory grew in the
second half. Whatever the guest does, a sequence ends with an answer or a GuestFailed; anything else is a crash.
"""

import argparse
import json
import time

from reconciler.core.states import Reason
from reconciler.wasm.engine import Engine
from reconciler.wasm.kind import CallContext, GuestFailed, Request
from reconciler.wasm.proxy_wasm.instance import ProxyWasmInstance
from tests.hostile.interpreter import Programs, host_calls, interpreter
from tests.hostile.resident import resident
from tests.wasm.world import LIMITS, SPEC, World

TIMEOUT = 0.2
"""Seconds for one sequence: a guest may sleep so long."""


def run(seed: int, count: int) -> dict[str, object]:
    """Run that many sequences."""
    calls = host_calls()
    programs = Programs(calls, seed)
    engine = Engine()
    world = World(engine)
    prepared = world.prepare(interpreter(calls).decode(), SPEC, memory=LIMITS.memory)
    instance = prepared.start()
    longest, half, failed = 0.0, 0, 0
    for number in range(count):
        if number == count // 2:
            half = resident()
        request = Request("probe", "POST", "/p", "q=1", [("a", "b")], programs.next(), trailers=[("t", "u")])
        began = time.monotonic()
        if not _sequence(instance, request):
            failed += 1
            instance.close()
            instance = prepared.start()
        longest = max(longest, time.monotonic() - began)
        world.services.lines.clear()
        world.services.invoked.clear()
        world.upstreams.requests.clear()
    instance.close()
    grown = resident() - half
    prepared.close()
    engine.close()
    return {"seed": seed, "sequences": count, "replaced": failed, "longest": round(longest, 3), "grown": grown}


def _sequence(instance: ProxyWasmInstance, request: Request) -> bool:
    """One request and, where the guest asked for it, a tick. Whether the instance is still good."""
    try:
        instance.handle(request, CallContext(time.monotonic() + TIMEOUT))
        if instance.tick_period is not None:
            instance.tick(CallContext(time.monotonic() + TIMEOUT))
    except GuestFailed as failure:
        assert failure.failure.reason is not Reason.INTERNAL, failure
        return not failure.fatal
    return True


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.seed, arguments.count)))


if __name__ == "__main__":
    main()
