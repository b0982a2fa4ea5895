"""The paragraph about a plugin: why, what requests meet meanwhile, and what to do next."""

from typing import Any

import pytest

from api.advice import explain
from reconciler.core.states import Reason


def says(kind: str, status: str, reason: str, message: str = "so it is") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def plugin(*conditions: dict[str, str], **status: Any) -> dict[str, Any]:
    owner = {"source": "dir:specs", "file": "a.yaml", "line": 3}
    instances = {"ready": 1, "desired": 2}
    whole = {"conditions": list(conditions), "owner": owner, "instances": instances} | status
    return {"metadata": {"name": "a"}, "spec": {}, "status": whole}


def test_a_ready_plugin_needs_nothing() -> None:
    advice = explain(plugin(says("Ready", "True", "ReconciliationSucceeded"), revision={"serving": "abc"}))
    assert (advice.ready, advice.next) == (True, "")
    assert advice.paragraph == "a is ready: 1 of 2 instances, revision abc."


def test_one_that_no_pass_has_seen_is_new() -> None:
    assert "no pass has looked at it yet" in explain({"metadata": {"name": "a"}, "spec": {}}).paragraph


def test_a_bad_edit_says_what_serves_meanwhile_and_how_to_go_back() -> None:
    advice = explain(
        plugin(
            says("Available", "True", "MinimumInstancesReady"),
            says("Ready", "False", "NotFound", "there is no file x.wasm"),
            says("Progressing", "False", "NotFound"),
            revision={"serving": "old", "desired": "new"},
        )
    )
    assert not advice.ready
    assert "there is no file x.wasm." in advice.paragraph
    assert "Requests are answered by revision old meanwhile" in advice.paragraph
    assert "specs/a.yaml:3" in advice.next
    assert advice.next.endswith("wasm-reconciler rollback a")


def test_what_is_under_way_is_waited_for() -> None:
    advice = explain(plugin(says("Ready", "False", "Scaling"), says("Progressing", "True", "Scaling")))
    assert advice.next.startswith("wait")


FAILURES = [
    Reason.NOT_FOUND, Reason.FETCH_FAILED, Reason.DIGEST_MISMATCH, Reason.SIGNATURE_INVALID, Reason.TOO_LARGE,
    Reason.BLOCKED_ADDRESS, Reason.POLICY_DENIED, Reason.COMPILE_FAILED, Reason.MISSING_IMPORT, Reason.MISSING_EXPORT,
    Reason.UNSUPPORTED_ABI, Reason.ENV_UNREADABLE, Reason.START_FAILED, Reason.CAPACITY_EXHAUSTED, Reason.TRAPPED,
    Reason.DEADLINE_EXCEEDED, Reason.OUT_OF_MEMORY, Reason.FUEL_EXHAUSTED, Reason.CRASH_LOOP_BACK_OFF,
    Reason.AUTO_REVERTED, Reason.SUSPENDED,
]  # fmt: skip


@pytest.mark.parametrize("reason", FAILURES)
def test_each_reason_has_a_next_step_of_its_own(reason: Reason) -> None:
    advice = explain(plugin(says("Ready", "False", reason), says("Progressing", "False", reason)))
    assert advice.next
    assert "events" not in advice.next
    assert "{" not in advice.next
