"""Files in, instances out: what a node does with specs and modules as they come, change, break and go."""

import shutil
import threading
from pathlib import Path

import pytest

from reconciler.core.states import Condition, Reason
from reconciler.host.invoke import RouteUnknown
from reconciler.wasm.kind import GuestFailed, Request
from tests.control.conftest import Node
from tests.guest_wat import SPIN, TRAP, answering, trap_on_call


def test_a_spec_becomes_a_serving_pool_and_goes_with_its_file(node: Node) -> None:
    node.module("a.wat", answering("hello"))
    node.want("a", "a.wat", instances=2)
    node.until(lambda: node.ready("a"))
    assert node.ask("a") == "hello"
    status = node.status("a")
    assert status is not None
    assert status.to_dict()["instances"] == {"desired": 2, "ready": 2, "busy": 0, "draining": 0, "restarts": 0}
    node.drop("a")
    node.until(lambda: node.status("a") is None)
    with pytest.raises(RouteUnknown):
        node.ask("a")
    assert node.host.plugins() == ()
    assert [reason for reason in node.events("a") if reason in ("Installed", "Uninstalled")] == [
        "Installed",
        "Uninstalled",
    ]


def test_a_module_that_changes_on_disk_is_a_new_revision(node: Node) -> None:
    node.module("a.wat", answering("one"))
    node.want("a", "a.wat")
    node.until(lambda: node.ready("a"))
    node.module("a.wat", answering("two"))
    node.until(lambda: node.ask("a") == "two")
    node.until(lambda: node.events("a").count("Updated") == 1)
    (node.modules / "a.wat").touch()
    node.module("b.wat", answering("three"))  # what comes after the touch is seen, so the touch was seen too
    node.want("b", "b.wat")
    node.until(lambda: node.ready("b"))
    assert node.events("a").count("Updated") == 1


def test_a_module_that_changes_is_seen_at_once_and_not_at_the_next_resync(node: Node) -> None:
    node.module("a.wat", answering("one"))
    node.want("a", "a.wat", rollout={"minHealthyTime": "0s"})
    node.until(lambda: node.ready("a"))
    node.module("a.wat", answering("two"))
    node.until(lambda: node.ask("a") == "two", seconds=1)


@pytest.mark.parametrize("instances", [0, 5, 2])
def test_only_a_resize_keeps_the_instances(node: Node, instances: int) -> None:
    node.module("a.wat", answering("one"))
    node.want("a", "a.wat", instances=3)
    node.until(lambda: node.ready("a"))
    node.want("a", "a.wat", instances=instances)
    node.until(lambda: node.ready("a", 2) and node.host.observe("a").pools[0].ready == instances)
    assert node.events("a").count("Installed") == 1
    assert "Updated" not in node.events("a")


def test_a_bad_edit_keeps_the_last_good_revision_serving_and_says_why(node: Node) -> None:
    node.module("a.wat", answering("good"))
    node.want("a", "a.wat")
    node.until(lambda: node.ready("a"))
    node.module("b.wat", b"not wasm at all")
    node.want("a", "b.wat")
    node.until(lambda: node.condition("a", Condition.STALLED) is not None)
    assert node.ask("a") == "good"
    ready, available = node.condition("a", Condition.READY), node.condition("a", Condition.AVAILABLE)
    assert ready is not None
    assert available is not None
    assert (ready.status, ready.reason, available.status) == ("False", Reason.COMPILE_FAILED, "True")
    node.want("a", "a.wat", config={"now": "good again"})
    node.until(lambda: node.ready("a", 3))


def test_the_old_revision_stays_whole_while_the_new_one_fails(node: Node) -> None:
    node.module("a.wat", answering("good", before=trap_on_call(2)))
    node.want("a", "a.wat", rollout={"autoRevert": False})
    node.until(lambda: node.ready("a"))
    node.module("b.wat", b"not wasm")
    node.want("a", "b.wat", rollout={"autoRevert": False})
    node.until(lambda: node.condition("a", Condition.STALLED) is not None)
    assert node.ask("a") == "good"
    with pytest.raises(GuestFailed):
        node.ask("a")
    assert node.ask("a") == "good"


def test_a_module_that_is_not_there_yet_is_found_when_it_comes(node: Node) -> None:
    node.want("a", "late.wat")
    node.until(lambda: (state := node.condition("a", Condition.READY)) and state.reason is Reason.NOT_FOUND)
    node.module("late.wat", answering("here"))
    node.until(lambda: node.ready("a"))
    assert node.ask("a") == "here"


def test_a_secret_that_changes_is_a_new_revision(node: Node, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    node.module("a.wat", answering("x"))
    node.want("a", "a.wat", env=[{"name": "T", "valueFrom": {"file": str(secret)}}])
    node.until(lambda: node.ready("a"))
    before = node.host.observe("a").serving
    secret.write_text("two\n")
    node.until(lambda: (now := node.host.observe("a").serving) and before and now.revision != before.revision)
    secret.unlink()
    node.until(lambda: (state := node.condition("a", Condition.READY)) and state.reason is Reason.ENV_UNREADABLE)
    assert node.ask("a") == "x"


def test_a_module_may_not_lie_outside_of_its_root(node: Node, tmp_path: Path) -> None:
    (tmp_path / "outside.wat").write_bytes(answering("secret"))
    (node.modules / "link.wat").symlink_to(tmp_path / "outside.wat")
    for name, path in (("a", "../outside.wat"), ("b", str(tmp_path / "outside.wat")), ("c", "link.wat")):
        node.want(name, path)
        node.until(lambda: (state := node.condition(name, Condition.READY)) and state.reason is Reason.POLICY_DENIED)  # noqa: B023


def test_one_bad_start_does_not_hold_up_the_others(node: Node) -> None:
    node.module("slow.wat", answering("x", start=SPIN))
    node.module("a.wat", answering("x"))
    for number in range(4):
        node.want(f"slow{number}", "slow.wat", limits={"startTimeout": "5s"}, config={"n": number})
    node.until(lambda: len(node.host.plugins()) == 4)
    node.want("quick", "a.wat")
    node.until(lambda: node.ready("quick"), seconds=4)
    assert not any(node.ready(f"slow{number}") for number in range(4))


def test_starts_that_fail_are_tried_again_more_and_more_slowly(node: Node) -> None:
    node.module("bad.wat", answering("x", start=TRAP))
    node.want("a", "bad.wat")
    node.until(lambda: (state := node.condition("a", Condition.READY)) and "3 times" in state.message)
    looping = node.condition("a", Condition.READY)
    assert looping is not None
    assert looping.reason is Reason.CRASH_LOOP_BACK_OFF
    assert "next try in" in looping.message
    node.module("bad.wat", answering("well"))
    node.until(lambda: node.ready("a"))


def test_an_instance_that_traps_is_replaced(node: Node) -> None:
    node.module("a.wat", answering("x", before=trap_on_call(3)))
    node.want("a", "a.wat")
    node.until(lambda: node.ready("a"))
    answers = []
    for _ in range(9):
        try:
            answers.append(node.ask("a"))
        except GuestFailed:
            answers.append("trap")
    assert answers == ["x", "x", "trap"] * 3
    node.until(lambda: (status := node.status("a")) and status.to_dict()["instances"]["restarts"] == 3)


def test_a_new_revision_that_fails_its_first_calls_is_reverted(node: Node) -> None:
    node.module("good.wat", answering("good"))
    node.module("bad.wat", answering("bad", before=TRAP))
    node.want("a", "good.wat", rollout={"minHealthyTime": "50ms"})
    node.until(lambda: (status := node.status("a")) and status.last_good != "")
    node.want("a", "bad.wat", rollout={"minHealthyTime": "10s"})
    node.until(lambda: "Updated" in node.events("a"))
    failures = 0
    while "RolledBack" not in node.events("a"):
        try:
            node.ask("a")
        except GuestFailed:
            failures += 1
        assert failures < 10
    node.until(lambda: node.condition("a", Condition.ROLLED_BACK) is not None)
    node.until(lambda: says(node, "a", "good"))
    ready = node.condition("a", Condition.READY)
    assert ready is not None
    assert ready.status == "False"
    assert "unreachable" in ready.message
    node.restart()
    node.until(lambda: node.condition("a", Condition.ROLLED_BACK) is not None)
    node.until(lambda: says(node, "a", "good"))
    node.module("better.wat", answering("better"))
    node.want("a", "better.wat")
    node.until(lambda: node.ready("a", 3))
    assert node.ask("a") == "better"
    status = node.status("a")
    assert status is not None
    assert [one.result for one in status.history] == ["Good", "RolledBack", "Served"]


def test_the_last_good_revision_survives_a_restart_and_the_loss_of_its_module(node: Node) -> None:
    node.module("a.wat", answering("still here"))
    node.want("a", "a.wat", rollout={"minHealthyTime": "10ms"})
    node.until(lambda: (status := node.status("a")) and status.last_good != "")
    (node.modules / "a.wat").unlink()
    node.restart()
    node.until(lambda: (state := node.condition("a", Condition.AVAILABLE)) and state.status == "True")
    assert node.ask("a") == "still here"
    ready = node.condition("a", Condition.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", Reason.NOT_FOUND)


def test_the_last_good_module_stays_on_disk_though_nothing_runs_it_and_room_is_short(tmp_path: Path) -> None:
    node = Node(tmp_path, content_bytes=1)
    node.module("a.wat", answering("still here"))
    node.start()
    node.want("a", "a.wat", rollout={"minHealthyTime": "10ms"})
    node.until(lambda: (status := node.status("a")) and status.last_good != "")
    node.stop()
    (node.modules / "a.wat").unlink()
    shutil.rmtree(node.state / "aot")
    node.want("a", "a.wat", suspend=True)
    node.start()
    for name in ("b", "c"):
        node.module(f"{name}.wat", answering(name))
        node.want(name, f"{name}.wat")
        node.until(lambda: node.ready(name))  # noqa: B023
    assert len(list((node.state / "modules").iterdir())) == 3
    node.want("b", "c.wat")
    node.until(lambda: node.ask("b") == "c")
    node.module("d.wat", answering("d"))
    node.want("d", "d.wat")
    node.until(lambda: node.ready("d"))
    assert len(list((node.state / "modules").iterdir())) == 3, "that of b went"
    node.want("a", "a.wat", instances=1)
    node.until(lambda: (state := node.condition("a", Condition.AVAILABLE)) and state.status == "True")
    assert node.ask("a") == "still here"
    node.stop()


def test_suspended_means_left_as_it_is(node: Node) -> None:
    node.module("a.wat", answering("one"))
    node.module("b.wat", answering("two"))
    node.want("a", "a.wat")
    node.until(lambda: node.ready("a"))
    node.want("a", "b.wat", instances=3, suspend=True)
    node.until(lambda: (status := node.status("a")) and status.generation == 2)
    assert node.ask("a") == "one"
    assert node.host.observe("a").pools[0].target == 1
    node.want("a", "b.wat", instances=3)
    node.until(lambda: node.ready("a", 3))
    assert node.ask("a") == "two"


def test_a_request_right_after_the_spec_waits_for_its_plugin(node: Node) -> None:
    node.module("a.wat", answering("first"))
    node.want("a", "a.wat")
    assert node.sync.flush(5)
    assert node.ask("a") == "first"


def test_changes_under_load_lose_no_request(node: Node) -> None:
    for text in ("one", "two"):
        node.module(f"{text}.wat", answering(text))
    node.want("a", "one.wat", instances=2)
    node.until(lambda: node.ready("a"))
    stop, answers = threading.Event(), []

    def load() -> None:
        while not stop.is_set():
            answers.append(node.ask("a"))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2, 12):
        node.want("a", ("one.wat", "two.wat")[number % 2], instances=2 + number % 3)
        node.until(lambda: node.ready("a", number))  # noqa: B023
    stop.set()
    for thread in threads:
        thread.join()
    assert set(answers) == {"one", "two"}


def test_nothing_stays_behind(node: Node) -> None:
    node.module("a.wat", answering("x"))
    for name in ("a", "b", "c"):
        node.want(name, "a.wat", instances=3)
    node.until(lambda: all(node.ready(name) for name in ("a", "b", "c")))
    for name in ("a", "b", "c"):
        node.drop(name)
    node.until(lambda: not node.host.plugins())
    node.until(lambda: not node.host._leases and not node.host._jobs._modules._entries)
    assert tuple(node.host._router.routes()) == ()


def test_a_lease_that_is_held_keeps_its_instance_over_a_change(node: Node) -> None:
    node.module("a.wat", answering("old"))
    node.module("b.wat", answering("new"))
    node.want("a", "a.wat")
    node.until(lambda: node.ready("a"))
    lease = node.host.acquire("a", _Nobody())
    assert lease is not None
    node.want("a", "b.wat")
    node.until(lambda: node.ask("a") == "new")
    status = node.status("a")
    assert status is not None
    assert lease.call(Request("a")).body == b"old"
    node.until(lambda: len(node.host.observe("a").pools) == 1)


def says(node: Node, route: str, text: str) -> bool:
    """Whether the route answers that now; a guest that fails meanwhile does not."""
    try:
        return node.ask(route) == text
    except GuestFailed:
        return False


class _Nobody:
    """A waiter that is never told."""

    def granted(self, lease: object) -> None:
        raise AssertionError

    def refused(self, error: object) -> None:
        raise AssertionError
