"""Tags: known in the background, asked for again, and told of when they move."""

import threading
from collections.abc import Callable, Iterable

from reconciler.core.images import ImageRef
from reconciler.core.states import Reason
from reconciler.host.fetch.registry import Registry
from reconciler.host.fetch.tags import ImageTags
from reconciler.host.fetch.web import refused
from tests.fetch.registry_server import WASM, RegistryServer
from tests.fetch.world import Fetching, refusal


class Told:
    """Who was told of a change."""

    def __init__(self) -> None:
        self._woken = threading.Condition()
        self._names: list[str] = []

    def __call__(self, names: Iterable[str]) -> None:
        with self._woken:
            self._names += names
            self._woken.notify_all()

    def wait(self) -> list[str]:
        with self._woken:
            assert self._woken.wait_for(lambda: self._names, 10)
            names, self._names = sorted(self._names), []
            return names


def eventually(digest: Callable[[], str | None], wanted: str) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if digest() == wanted:
            return
        pause.wait(0.01)
    raise AssertionError(f"it is still {digest()}")


class Held:
    """A registry that does not answer before it is released."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.released = threading.Event()

    def digest(self, image: ImageRef, deadline: float) -> str:
        assert self.released.wait(10)
        return self._registry.digest(image, deadline)


def test_a_tag_is_loading_then_known(registry: RegistryServer) -> None:
    digest = registry.image("acme/t1", (WASM, b"1"))
    image, told = ImageRef.parse(f"{registry.address}/acme/t1:v1"), Told()
    held = Held(Fetching().registry)
    tags = ImageTags(held, told)

    reason, message = refusal(lambda: tags.digest(image, "a"))

    assert (reason, str(image) in message) == (Reason.LOADING, True)
    held.released.set()
    assert told.wait() == ["a"]
    assert tags.digest(image, "a") == tags.known(image, "b") == digest


def test_those_who_asked_are_told_when_a_tag_moves(registry: RegistryServer) -> None:
    registry.image("acme/t2", (WASM, b"1"))
    image, told = ImageRef.parse(f"{registry.address}/acme/t2:v1"), Told()
    tags = ImageTags(Fetching().registry, told, seconds=0)
    tags.known(image, "a")
    told.wait()

    moved = registry.image("acme/t2", (WASM, b"2"))

    eventually(lambda: tags.known(image, "b"), moved)
    assert told.wait() == ["b"]


class Moody:
    """A registry that answers until it does not."""

    answers = True

    def digest(self, image: ImageRef, deadline: float) -> str:
        if not self.answers:
            raise refused(Reason.FETCH_FAILED, "gone")
        return "sha256:known"


def test_a_registry_that_is_gone_changes_nothing() -> None:
    image, told, moody = ImageRef.parse("registry.test/acme/t3:v1"), Told(), Moody()
    tags = ImageTags(moody, told, seconds=0)
    tags.known(image, "a")
    told.wait()

    moody.answers = False
    tags.known(image, "a")
    told.wait()

    assert tags.digest(image, "a") == "sha256:known"


def test_why_a_tag_is_not_known_is_said() -> None:
    image, told = ImageRef.parse("127.0.0.1:1/acme/t4:v1"), Told()
    tags = ImageTags(Fetching(hosts=()).registry, told)
    tags.known(image, "a")

    assert told.wait() == ["a"]
    assert refusal(lambda: tags.digest(image, "a"))[0] is Reason.BLOCKED_ADDRESS
