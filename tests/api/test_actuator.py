import pytest

from api.actuator import aggregate, plugin_health
from tests.api.world import READY, Client, World, plugin, says

FAILED = [
    says("ModuleReady", "False", "NotFound", "no such file a.wasm"),
    says("Progressing", "False", "NotFound", "no such file a.wasm"),
    says("Ready", "False", "NotFound", "no such file a.wasm"),
]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        pytest.param(None, "INIT", id="nothing looked at it yet"),
        pytest.param(READY["conditions"], "UP", id="ready"),
        pytest.param(
            [says("Ready", "Unknown", "Loading"), says("Progressing", "True")], "INIT", id="its module is being loaded"
        ),
        pytest.param(
            [says("Available", "False"), says("Progressing", "True"), says("Ready", "False", "NewRevision")],
            "INIT",
            id="its first instances start",
        ),
        pytest.param([says("Available", "False"), *FAILED], "DOWN", id="it failed"),
        pytest.param([says("Available", "True"), *FAILED], "UP", id="a bad edit, the last good revision serves"),
        pytest.param(
            [says("Available", "True"), says("Progressing", "True"), says("Ready", "False", "Scaling")],
            "UP",
            id="it grows while it serves",
        ),
        pytest.param(
            [says("Ready", "Unknown"), says("Progressing", "True"), says("Stalled", "True")], "DOWN", id="stalled"
        ),
        pytest.param(
            [says("Available", "False", "Suspended"), says("Ready", "False", "Suspended")],
            "UP",
            id="suspended on purpose",
        ),
    ],
)
def test_a_plugin_is_up_while_it_answers(conditions: list[dict[str, str]] | None, expected: str) -> None:
    status = None if conditions is None else {"conditions": conditions}
    assert plugin_health(status)["status"] == expected


def test_a_component_that_is_not_ready_says_why() -> None:
    assert plugin_health({"conditions": [says("Available", "False"), *FAILED]}) == {
        "status": "DOWN",
        "details": {"reason": "NotFound", "message": "no such file a.wasm"},
    }


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "UP"),
        (["UP"], "UP"),
        (["UP", "INIT"], "INIT"),
        (["DOWN", "INIT", "UP"], "DOWN"),
        (["INIT", "DOWN"], "DOWN"),
    ],
)
def test_down_beats_init_beats_up(states: list[str], expected: str) -> None:
    assert aggregate({str(number): {"status": state} for number, state in enumerate(states)}) == expected


def test_readiness_reports_a_component_for_each_plugin(client: Client, world: World) -> None:
    world.files.add(plugin("good"))
    world.status.set("good", READY)
    assert client.get("/actuator/health/readiness").json() == {
        "status": "UP",
        "components": {"runtime_startup": {"status": "UP"}, "good": {"status": "UP"}},
    }
    world.files.add(plugin("bad"))
    world.status.set("bad", {"conditions": [says("Available", "False"), *FAILED]})
    answer = client.get("/actuator/health/readiness")
    assert answer.status == 503
    assert answer.json()["status"] == "DOWN"
    assert answer.json()["components"]["bad"]["details"]["reason"] == "NotFound"


def test_readiness_leaves_out_what_is_only_draining(client: Client, world: World) -> None:
    world.status.set("uninstalled", {"conditions": FAILED})
    assert list(client.get("/actuator/health/readiness").json()["components"]) == ["runtime_startup"]


def test_difference_init_and_down_are_503_not_500(client: Client, world: World) -> None:
    world.readiness.started = False
    answer = client.get("/actuator/health/readiness")
    assert (answer.status, answer.json()["status"]) == (503, "INIT")
    world.readiness.draining = True
    answer = client.get("/actuator/health/readiness")
    assert (answer.status, answer.json()["status"]) == (503, "DOWN")


def test_liveness_is_up_however_the_plugins_are(client: Client, world: World) -> None:
    world.readiness.started = False
    world.files.add(plugin("bad"))
    answer = client.get("/actuator/health/liveness")
    assert (answer.status, answer.json()["status"]) == (200, "UP")


def test_difference_an_unknown_health_type_is_404_with_a_body(client: Client) -> None:
    for path in ("/actuator/health", "/actuator/health/other"):
        answer = client.get(path)
        assert answer.status == 404
        assert path in answer.error


def test_info_names_the_program_and_the_plugins(client: Client, world: World) -> None:
    world.files.add(plugin("id_1_1", route="id_1"))
    world.status.set("id_1_1", {**READY, "instances": {"desired": 1, "ready": 1}})
    info = client.get("/actuator/info").json()
    assert info["app"] == {"name": "wasm-reconciler", "version": "1.2.3"}
    assert info["plugins"]["id_1_1"] == {
        "route": "id_1",
        "generation": 1,
        "status": "UP",
        "instances": {"desired": 1, "ready": 1},
        "revision": {},
    }


def test_livez_answers_whenever_the_process_does(client: Client, world: World) -> None:
    world.readiness.started = False
    answer = client.get("/livez")
    assert (answer.status, answer.body) == (200, b"ok")


def test_readyz_follows_the_daemon_and_not_the_plugins(client: Client, world: World) -> None:
    world.files.add(plugin("bad"))
    assert client.get("/readyz").status == 200
    world.readiness.started = False
    answer = client.get("/readyz")
    assert answer.status == 503
    assert b"the first pass is not done yet" in answer.body
    world.readiness.started, world.readiness.draining = True, True
    assert client.get("/readyz").status == 503


def test_readyz_lists_its_checks_when_asked(client: Client) -> None:
    assert client.get("/readyz?verbose").body == b"[+] started ok\n[+] not-draining ok\nok\n"


def test_every_health_endpoint_answers_head_without_a_body(client: Client) -> None:
    for path in ("/livez", "/readyz", "/actuator/health/liveness", "/actuator/health/readiness", "/actuator/info"):
        answer = client.ask("HEAD", path)
        assert (answer.status, answer.body) == (200, b""), path
