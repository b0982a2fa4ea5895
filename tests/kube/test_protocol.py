"""The protocol over plain HTTP: what clients rely on and kubectl does not show."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import RunningDaemon, until
from tests.kube.manifests import ALL, BASE, manifest, plugin

JSON = {"Content-Type": "application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
INITIAL = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


class Api:
    """Asks a daemon and reads the answers as JSON."""

    def __init__(self, node: RunningDaemon) -> None:
        self.node = node

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        status, _, answer = self.node.ask(method, path, body, headers or JSON)
        return status, json.loads(answer) if answer else None

    def create(self, name: str, **spec: Any) -> Any:
        status, answer = self.ask("POST", ALL, plugin(name, **spec))
        assert status == 201, answer
        return answer

    def settled(self, name: str) -> Any:
        """The object once its status changes no more."""

        def ready() -> Any:
            found = self.node.json(f"{ALL}/{name}")
            conditions = {one["type"]: one["status"] for one in found["status"].get("conditions", ())}
            done = conditions.get("Ready") == "True" and conditions.get("Progressing") == "False"
            return found if done and found["status"]["observedGeneration"] == found["metadata"]["generation"] else None

        found = until(ready, f"that {name} is ready")
        return found if found == self.node.json(f"{ALL}/{name}") else self.settled(name)


@pytest.fixture
def api(node: RunningDaemon) -> Api:
    return Api(node)


@contextmanager
def watching(node: RunningDaemon, query: str, headers: dict[str, str] | None = None) -> Iterator[Iterator[Any]]:
    """The events of a watch, as they come."""
    connection = http.client.HTTPConnection(node.admin, timeout=20)
    connection.request("GET", f"{ALL}?{query}", headers=headers or {})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    try:
        yield (json.loads(line) for line in iter(answer.readline, b""))
    finally:
        answer.close()
        connection.close()


def names(answer: Any) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


# --- reading -------------------------------------------------------------------------------------------------------


def test_a_list_comes_in_pages_that_fit_together(api: Api) -> None:
    for name in "abcde":
        api.create(name, instances=0)
    _, first = api.ask("GET", f"{ALL}?limit=2")
    assert names(first) == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    api.ask("DELETE", f"{ALL}/c")
    api.create("bb", instances=0)
    _, second = api.ask("GET", f"{ALL}?limit=2&continue={first['metadata']['continue']}")
    assert names(second) == ["c", "d"], "a page shows the same moment as the first"
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    _, third = api.ask("GET", f"{ALL}?limit=2&continue={second['metadata']['continue']}")
    assert names(third) == ["e"]
    assert "continue" not in third["metadata"]
    assert api.ask("GET", f"{ALL}?continue=nonsense")[0] == 400
    status, answer = api.ask("GET", f"{ALL}?resourceVersion=1&resourceVersionMatch=Exact")
    assert (status, answer["reason"]) == (410, "Expired")
    status, answer = api.ask("GET", f"{ALL}?resourceVersion={2**60}")
    assert (status, answer["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")


def test_objects_come_as_tables_and_as_metadata_too(api: Api) -> None:
    api.create("a", instances=0)
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    for path in (ALL, f"{ALL}/a", f"{BASE}/wasmplugins"):
        answer = api.ask("GET", path, headers=table)[1]
        assert (answer["kind"], answer["rows"][0]["cells"][0]) == ("Table", "a")
        assert answer["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert "object" not in api.ask("GET", f"{ALL}?includeObject=None", headers=table)[1]["rows"][0]
    assert "spec" in api.ask("GET", f"{ALL}?includeObject=Object", headers=table)[1]["rows"][0]["object"]
    metadata = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    answer = api.ask("GET", ALL, headers=metadata)[1]
    assert answer["kind"] == "PartialObjectMetadataList"
    assert "spec" not in answer["items"][0]
    assert api.ask("GET", ALL, headers={"Accept": "text/html"})[0] == 406


def test_plain_http_users_have_entity_tags(api: Api) -> None:
    api.create("a", instances=0)
    api.settled("a")
    status, headers, _ = api.node.ask("GET", f"{ALL}/a")
    tag = headers["etag"]
    assert api.node.ask("GET", f"{ALL}/a", headers={"If-None-Match": tag})[0] == 304
    changed = plugin("a", instances=0, route="r")
    assert api.ask("PUT", f"{ALL}/a", changed, {**JSON, "If-Match": '"1"'})[0] == 412
    assert api.ask("PUT", f"{ALL}/a", changed, {**JSON, "If-Match": tag})[0] == 200
    assert api.ask("DELETE", f"{ALL}/a", headers={"If-Match": tag})[0] == 412
    assert api.ask("PATCH", f"{ALL}/a", {"spec": {"route": "s"}}, {**MERGE, "If-None-Match": "*"})[0] == 412
    assert status == 200


def test_discovery_is_the_same_plain_and_aggregated(api: Api) -> None:
    accept = {"Accept": "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io"}
    _, headers, body = api.node.ask("GET", "/apis", headers=accept)
    assert "APIGroupDiscoveryList" in headers["content-type"]
    found = {
        (group["metadata"]["name"], version["version"], one["resource"], tuple(one["verbs"]))
        for group in json.loads(body)["items"]
        for version in group["versions"]
        for one in version["resources"]
    }
    plain = {
        (group["name"], version["version"], one["name"], tuple(one["verbs"]))
        for group in api.node.json("/apis")["groups"]
        for version in group["versions"]
        for one in api.node.json(f"/apis/{version['groupVersion']}")["resources"]
        if "/" not in one["name"]
    }
    assert found == plain
    assert api.node.json("/api")["versions"] == ["v1"]
    assert {one["name"] for one in api.node.json("/api/v1")["resources"]} == {"events", "namespaces"}
    assert api.node.json("/apis/events.k8s.io")["preferredVersion"]["version"] == "v1"
    for path in ("/apis/none", "/apis/wasm-reconciler.dev/v2", "/api/v1/pods", "/openapi/v3/apis/none/v1"):
        status, answer = api.ask("GET", path)
        assert (status, answer["reason"]) == (404, "NotFound"), path


# --- writing -------------------------------------------------------------------------------------------------------


def test_a_stale_write_is_a_conflict(api: Api) -> None:
    api.create("a", instances=0)
    read = api.settled("a")
    api.ask("PATCH", f"{ALL}/a", {"spec": {"route": "r"}}, MERGE)
    read["spec"]["route"] = "s"
    status, answer = api.ask("PUT", f"{ALL}/a", read)
    assert (status, answer["reason"]) == (409, "Conflict")
    del read["metadata"]["resourceVersion"]
    assert api.ask("PUT", f"{ALL}/a", read)[0] == 200
    read["metadata"]["uid"] = "other"
    assert api.ask("PUT", f"{ALL}/a", read)[0] == 409
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
        assert api.ask("DELETE", f"{ALL}/a", {"kind": "DeleteOptions", "preconditions": wrong})[0] == 409
    status, answer = api.ask(
        "DELETE", f"{ALL}/a", {"preconditions": {"uid": api.node.json(f"{ALL}/a")["metadata"]["uid"]}}
    )
    assert (status, answer["status"], answer["details"]["name"]) == (200, "Success", "a")


def test_generation_and_uid_tell_what_changed(api: Api) -> None:
    first = api.create("a", instances=0)
    _, labelled = api.ask("PATCH", f"{ALL}/a", {"metadata": {"labels": {"x": "y"}}}, MERGE)
    _, changed = api.ask("PATCH", f"{ALL}/a", {"spec": {"route": "r"}}, MERGE)
    generations = [one["metadata"]["generation"] for one in (first, labelled, changed)]
    assert generations == [1, 1, 2]
    assert first["metadata"]["uid"] == changed["metadata"]["uid"]
    versions = [int(one["metadata"]["resourceVersion"]) for one in (first, labelled, changed)]
    assert versions == sorted(set(versions))
    settled = api.settled("a")
    _, same = api.ask("PATCH", f"{ALL}/a", {"spec": {"route": "r"}}, MERGE)
    assert same["metadata"]["resourceVersion"] == settled["metadata"]["resourceVersion"], "no change, no new version"
    api.ask("DELETE", f"{ALL}/a")
    assert api.create("a", instances=0)["metadata"]["uid"] != first["metadata"]["uid"]


def test_a_dry_run_writes_nothing(api: Api) -> None:
    status, answer = api.ask("POST", f"{ALL}?dryRun=All", plugin("a"))
    assert (status, answer["metadata"]["generation"]) == (201, 1)
    assert list(api.node.specs.iterdir()) == []
    api.create("a", instances=0)
    _, changed = api.ask("PUT", f"{ALL}/a?dryRun=All", plugin("a", instances=2))
    assert changed["spec"]["instances"] == 2
    _, scale = api.ask("PATCH", f"{ALL}/a/scale?dryRun=All", {"spec": {"replicas": 3}}, MERGE)
    assert scale["spec"]["replicas"] == 3
    _, applied = api.ask("PATCH", f"{ALL}/b?dryRun=All&fieldManager=m", plugin("b"), APPLY)
    assert applied["metadata"]["name"] == "b"
    assert api.ask("DELETE", f"{ALL}/a?dryRun=All")[0] == 200
    assert api.ask("DELETE", ALL, {"dryRun": ["All"]})[0] == 200
    assert names(api.node.json(ALL)) == ["a"]
    assert api.node.json(f"{ALL}/a")["spec"]["instances"] == 0
    assert api.ask("POST", f"{ALL}?dryRun=Some", plugin("c"))[0] == 400


def test_unknown_fields_are_refused_named_or_dropped(api: Api) -> None:
    wrong = plugin("a", instances=0, nothing=1)
    status, answer = api.ask("POST", f"{ALL}?fieldValidation=Strict", wrong)
    assert (status, answer["reason"]) == (400, "BadRequest")
    assert 'strict decoding error: unknown field "spec.nothing"' in answer["message"]
    twice = json.dumps(plugin("a")).replace('"spec"', '"kind": "WasmPlugin", "spec"').encode()
    assert 'duplicate field "kind"' in api.ask("POST", f"{ALL}?fieldValidation=Strict", twice)[1]["message"]
    status, headers, body = api.node.ask("POST", ALL, wrong, JSON)
    assert (status, headers["warning"]) == (201, '299 - "unknown field \\"spec.nothing\\""')
    assert "nothing" not in json.loads(body)["spec"]
    status, headers, _ = api.node.ask(
        "POST", f"{ALL}?fieldValidation=Ignore", plugin("b", instances=0, nothing=1), JSON
    )
    assert status == 201
    assert "warning" not in headers


def test_what_is_wrong_is_said_field_by_field(api: Api) -> None:
    status, answer = api.ask("POST", ALL, plugin("a", instances=-1, engine="x"))
    assert (status, answer["reason"]) == (422, "Invalid")
    assert {cause["field"] for cause in answer["details"]["causes"]} == {"spec.instances", "spec.engine"}
    api.create("a", instances=0)
    deep = json.loads('{"a":' * 40 + "1" + "}" * 40)
    twice_as_deep = [{"op": "add", "path": "/spec/config" + "/a" * times, "value": deep} for times in (0, 40)]
    refused: list[tuple[int, str, str, Any, dict[str, str]]] = [
        (409, "POST", ALL, plugin("a"), JSON),
        (400, "POST", ALL, {**plugin("b"), "apiVersion": "v1"}, JSON),
        (400, "POST", ALL, {**plugin("b"), "kind": "Pod"}, JSON),
        (400, "POST", ALL, b"{", JSON),
        (400, "POST", ALL, b"", JSON),
        (400, "POST", ALL, [], JSON),
        (400, "POST", ALL, b'{"a": NaN}', JSON),
        (400, "POST", ALL, b"[" * 100_000, JSON),
        (415, "POST", ALL, plugin("b"), {"Content-Type": "text/plain"}),
        (422, "POST", ALL, {**plugin(""), "metadata": {}}, JSON),
        (422, "POST", ALL, plugin("a/b"), JSON),
        (422, "POST", ALL, {**plugin("b"), "metadata": {"name": "b", "finalizers": ["x"]}}, JSON),
        (400, "PUT", f"{ALL}/a", plugin("b"), JSON),
        (404, "PUT", f"{ALL}/none", plugin("none"), JSON),
        (404, "PATCH", f"{ALL}/none", {}, MERGE),
        (404, "PATCH", f"{ALL}/none/scale", {"spec": {"replicas": 1}}, MERGE),
        (404, "DELETE", f"{ALL}/none", None, JSON),
        (400, "PATCH", f"{ALL}/a", [1], MERGE),
        (400, "PATCH", f"{ALL}/a", {}, {"Content-Type": "application/json-patch+json"}),
        (422, "PATCH", f"{ALL}/a", [{"op": "remove", "path": "/x"}], {"Content-Type": "application/json-patch+json"}),
        (415, "PATCH", f"{ALL}/a", {}, {"Content-Type": "application/x-patch"}),
        (400, "PATCH", f"{ALL}/a", {"spec": {"$patch": "merge"}}, STRATEGIC),
        (400, "PATCH", f"{ALL}/a", b'{"a":' * 500 + b"1" + b"}" * 500, MERGE),
        (400, "PUT", f"{ALL}/a", b'{"a":' * 500 + b"1" + b"}" * 500, JSON),
        (422, "PATCH", f"{ALL}/a", twice_as_deep, {"Content-Type": "application/json-patch+json"}),
        (400, "PATCH", f"{ALL}/a", plugin("a"), APPLY),
        (400, "PATCH", f"{ALL}/a?fieldManager=m", b"a: [", APPLY),
        (400, "PATCH", f"{ALL}/a?fieldManager=m", b"a: 1\n---\nb: 2\n", APPLY),
        (422, "PATCH", f"{ALL}/a?force=true", {}, MERGE),
        (422, "PATCH", f"{ALL}/a/scale", {"spec": {"replicas": -1}}, MERGE),
        (415, "PATCH", f"{ALL}/a/scale", {}, APPLY),
        (400, "PUT", f"{ALL}/a/scale", [], JSON),
        (405, "PUT", f"{ALL}/a/status", {}, JSON),
        (405, "POST", f"{ALL}/a", plugin("a"), JSON),
        (405, "DELETE", "/api/v1/namespaces/default", None, JSON),
        (403, "POST", f"{BASE}/namespaces/other/wasmplugins", plugin("b"), JSON),
        (400, "GET", f"{ALL}?labelSelector=a%20b", None, JSON),
        (400, "GET", f"{ALL}?fieldSelector=x=y", None, JSON),
        (400, "GET", f"{ALL}?limit=-1", None, JSON),
        (400, "GET", f"{ALL}?watch=maybe", None, JSON),
        (413, "POST", ALL, b" " * 1_100_000, JSON),
    ]
    for expected, method, path, body, headers in refused:
        status, answer = api.ask(method, path, body, headers)
        assert status == expected, (method, path, body if body is None else str(body)[:100], answer)
        assert (answer["kind"], answer["code"]) == ("Status", expected)
        assert answer["message"]
        assert answer["reason"]
    assert names(api.node.json(ALL)) == ["a"]


def test_a_name_can_be_generated(api: Api) -> None:
    body = {**plugin(""), "metadata": {"generateName": "job-"}}
    made = [api.ask("POST", ALL, body)[1]["metadata"]["name"] for _ in range(2)]
    assert all(name.startswith("job-") and len(name) == 9 for name in made)
    assert sorted(made) == names(api.node.json(ALL))


def test_deleting_a_collection_takes_what_is_selected(api: Api) -> None:
    for name in "abc":
        api.create(name, instances=0)
    api.ask("PATCH", f"{ALL}/b", {"metadata": {"labels": {"x": "y"}}}, MERGE)
    status, answer = api.ask("DELETE", f"{ALL}?labelSelector=!x")
    assert (status, names(answer)) == (200, ["a", "c"])
    assert names(api.node.json(ALL)) == ["b"]


def test_scale_is_an_object_of_its_own(api: Api) -> None:
    api.create("a", instances=1)
    _, scale = api.ask("GET", f"{ALL}/a/scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    scale["spec"]["replicas"] = 2
    del scale["metadata"]["resourceVersion"]
    assert api.ask("PUT", f"{ALL}/a/scale", scale)[0] == 200
    until(lambda: api.node.json(f"{ALL}/a/scale")["status"]["replicas"] == 2)
    scale["metadata"]["resourceVersion"] = "1"
    assert api.ask("PUT", f"{ALL}/a/scale", scale)[0] == 409


def test_managed_fields_survive_a_restart_and_notice_an_editor(own_node: RunningDaemon) -> None:
    api = Api(own_node)
    api.ask("PATCH", f"{ALL}/a?fieldManager=me", plugin("a", instances=0), APPLY)
    before = own_node.json(f"{ALL}/a")["metadata"]
    own_node.restart()
    after = own_node.json(f"{ALL}/a")["metadata"]
    assert after["managedFields"] == before["managedFields"]
    assert after["uid"] == before["uid"]
    assert int(after["resourceVersion"]) > int(before["resourceVersion"])
    (own_node.specs / "a.yaml").write_text(manifest("a", instances=1))
    until(lambda: own_node.json(f"{ALL}/a")["spec"]["instances"] == 1)
    managers = {one["manager"]: one["fieldsV1"] for one in own_node.json(f"{ALL}/a")["metadata"]["managedFields"]}
    assert managers == {"me": {"f:spec": {"f:module": {"f:path": {}}}}, "file": {"f:spec": {"f:instances": {}}}}
    status, answer = api.ask("PATCH", f"{ALL}/a?fieldManager=me", plugin("a", instances=0), APPLY)
    assert (status, answer["details"]["causes"][0]["field"]) == (409, ".spec.instances")
    assert 'conflict with "file"' in answer["message"]


def test_the_namespace_is_the_daemons_own(tmp_path: Path) -> None:
    node = RunningDaemon(tmp_path / "node", "--namespace", "edge")
    node.start()
    try:
        api = Api(node)
        path = f"{BASE}/namespaces/edge/wasmplugins"
        body = plugin("a", instances=0)
        body["metadata"]["namespace"] = "edge"
        assert api.ask("POST", path, body)[1]["metadata"]["namespace"] == "edge"
        assert "namespace" not in (node.specs / "a.yaml").read_text()
        assert names(node.json(path)) == names(node.json(f"{BASE}/wasmplugins")) == ["a"]
        assert names(node.json(ALL)) == []
        body["metadata"]["namespace"] = "default"
        assert api.ask("POST", path, body)[0] == 400
        assert api.ask("GET", "/api/v1/namespaces/edge")[1]["status"]["phase"] == "Active"
        assert api.ask("GET", "/api/v1/namespaces/default")[0] == 404
    finally:
        node.stop()


# --- watching ------------------------------------------------------------------------------------------------------


def test_a_watch_tells_every_change_in_order(api: Api) -> None:
    start = api.node.json(ALL)["metadata"]["resourceVersion"]
    api.create("a", instances=0)
    api.settled("a")
    api.ask("DELETE", f"{ALL}/a")
    with watching(api.node, f"watch=true&resourceVersion={start}") as events:
        seen = [next(events)]
        while seen[-1]["type"] != "DELETED":
            seen.append(next(events))
    assert [one["type"] for one in seen] == ["ADDED", *["MODIFIED"] * (len(seen) - 2), "DELETED"]
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in seen]
    assert versions == sorted(set(versions))
    with watching(api.node, f"watch=true&resourceVersion={versions[-2]}") as events:
        assert next(events) == seen[-1], "a watch goes on where it is told to"


def test_a_watch_can_begin_with_what_there_is(api: Api) -> None:
    api.create("a", instances=0)
    api.create("b", instances=0)
    with watching(api.node, INITIAL) as events:
        first = [next(events) for _ in range(3)]
        assert [one["type"] for one in first] == ["ADDED", "ADDED", "BOOKMARK"]
        assert first[2]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    with watching(api.node, "watch=true") as events:
        assert [next(events)["type"] for _ in range(2)] == ["ADDED", "ADDED"]
    status, answer = api.ask("GET", f"{ALL}?watch=true&sendInitialEvents=true")
    assert (status, answer["reason"]) == (400, "BadRequest")


def test_a_watch_answers_before_anything_happens_and_ends_when_told(api: Api) -> None:
    start = api.node.json(ALL)["metadata"]["resourceVersion"]
    with watching(api.node, f"watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={start}") as events:
        (last,) = events
    assert last["type"] == "BOOKMARK"


def test_what_begins_or_ceases_to_match_is_added_or_deleted(api: Api) -> None:
    api.create("a", instances=0)
    version = api.settled("a")["metadata"]["resourceVersion"]
    for value in ("y", "z"):
        api.ask("PATCH", f"{ALL}/a", {"metadata": {"labels": {"x": value}}}, MERGE)
    with watching(api.node, f"watch=true&labelSelector=x=y&resourceVersion={version}") as events:
        assert [next(events)["type"] for _ in range(2)] == ["ADDED", "DELETED"]


def test_watches_of_tables_and_of_metadata(api: Api) -> None:
    api.create("a", instances=0)
    with watching(api.node, INITIAL, {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}) as events:
        row, bookmark = next(events), next(events)
    assert row["object"]["rows"][0]["cells"][0] == "a"
    assert row["object"]["columnDefinitions"]
    assert bookmark["object"]["columnDefinitions"] == []
    assert bookmark["object"]["rows"][0]["object"]["metadata"]["annotations"]
    accept = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
    with watching(api.node, INITIAL, accept) as events:
        assert next(events)["object"]["kind"] == "PartialObjectMetadata"


def test_versions_of_another_time_are_gone(api: Api) -> None:
    with watching(api.node, "watch=true&resourceVersion=1") as events:
        (only,) = events
    assert (only["type"], only["object"]["code"], only["object"]["reason"]) == ("ERROR", 410, "Expired")
    with watching(api.node, f"watch=true&resourceVersion={2**60}") as events:
        assert next(events)["object"]["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_watches_never_use_up_the_admin_port(own_node: RunningDaemon) -> None:
    connections = []
    try:
        while True:
            connection = http.client.HTTPConnection(own_node.admin, timeout=20)
            connections.append(connection)
            connection.request("GET", f"{ALL}?watch=true")
            answer = connection.getresponse()
            if answer.status != 200:
                break
            assert len(connections) < 200
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "1"
        assert json.loads(answer.read())["reason"] == "TooManyRequests"
        assert len(connections) > 50
        done = [threading.Thread(target=own_node.json, args=(ALL,)) for _ in range(16)]
        for thread in done:
            thread.start()
        for thread in done:
            thread.join(timeout=10)
            assert not thread.is_alive()
    finally:
        for connection in connections:
            connection.close()

    def free() -> bool:
        with_place = http.client.HTTPConnection(own_node.admin, timeout=20)
        with_place.request("GET", f"{ALL}?watch=true")
        status = with_place.getresponse().status
        with_place.close()
        return status == 200

    until(free, "that a place is free again")


def test_a_watcher_that_takes_nothing_holds_up_nobody(api: Api) -> None:
    stuck = http.client.HTTPConnection(api.node.admin, timeout=20)
    stuck.request("GET", f"{ALL}?watch=true")
    config = {"filling": "x" * 100_000}
    with watching(api.node, "watch=true") as events:
        for number in range(20):
            api.ask("PATCH", f"{ALL}/a?fieldManager=m", plugin("a", instances=0, config={**config, "n": number}), APPLY)
        while next(events)["object"]["spec"]["config"]["n"] != 19:
            pass
    stuck.close()


# --- events --------------------------------------------------------------------------------------------------------


def test_events_count_instead_of_repeating(api: Api) -> None:
    api.create("a", instances=1)
    api.settled("a")
    for number in (2, 1, 2, 1):
        api.ask("PATCH", f"{ALL}/a/scale", {"spec": {"replicas": number}}, MERGE)
        until(lambda number=number: api.node.json(f"{ALL}/a/scale")["status"]["replicas"] == number)
    uid = api.node.json(f"{ALL}/a")["metadata"]["uid"]
    query = f"fieldSelector=involvedObject.uid={uid},reason=Resized"
    found = api.node.json(f"/api/v1/namespaces/default/events?{query}")["items"]
    assert {one["message"]: one["count"] for one in found}["from 1 to 2 instances"] >= 2
    assert found[0]["involvedObject"]["apiVersion"] == "wasm-reconciler.dev/v1alpha1"
    newer = api.node.json(
        "/apis/events.k8s.io/v1/namespaces/default/events?fieldSelector=regarding.name=a,reason=Resized"
    )
    assert any(one.get("series", {}).get("count", 1) >= 2 for one in newer["items"])
    name = found[0]["metadata"]["name"]
    assert api.node.json(f"/api/v1/namespaces/default/events/{name}")["metadata"]["name"] == name


def test_events_can_be_watched(api: Api) -> None:
    start = api.node.json("/api/v1/events")["metadata"]["resourceVersion"]
    connection = http.client.HTTPConnection(api.node.admin, timeout=20)
    connection.request("GET", f"/api/v1/events?watch=true&resourceVersion={start}")
    answer = connection.getresponse()
    api.create("watched", instances=1)
    event = json.loads(answer.readline())
    assert (event["type"], event["object"]["involvedObject"]["name"]) == ("ADDED", "watched")
    connection.close()
