"""Spec files are dropped, edited, renamed and deleted with the tools that people use, while requests flow."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Place, answers, load, until
from tests.examples.daemon import Daemon, ask, serve

Change = Callable[[Path, str], None]
"""Makes a spec file have that text, in one of the ways that people do it."""


def by_cp(target: Path, text: str) -> None:
    source = target.parent.parent / "source.yaml"
    source.write_text(text)
    subprocess.run(["cp", source, target], check=True)


def by_mv(target: Path, text: str) -> None:
    source = target.parent.parent / "source.yaml"
    source.write_text(text)
    subprocess.run(["mv", source, target], check=True)


def by_sed(target: Path, text: str) -> None:
    wanted = text.split("path: ")[1].split("}", maxsplit=1)[0]
    subprocess.run(["sed", "-i", f"s/path: [a-z]*.wat/path: {wanted}/", target], check=True)


def by_vim(target: Path, text: str) -> None:
    wanted = text.split("path: ")[1].split("}", maxsplit=1)[0]
    command = [vim(), "-u", "NONE", "-es", "-c", f"%s/path: [a-z]*.wat/path: {wanted}/", "-c", "wq", str(target)]
    subprocess.run(command, check=True)


def by_rsync(target: Path, text: str) -> None:
    source = target.parent.parent / "outgoing"
    source.mkdir(exist_ok=True)
    (source / target.name).write_text(text)
    subprocess.run(["rsync", "-a", "--ignore-times", f"{source}/", f"{target.parent}/"], check=True)


def in_place(target: Path, text: str) -> None:
    with target.open("r+" if target.exists() else "w") as file:
        file.truncate(0)
        for line in text.splitlines(keepends=True):
            file.write(line)
            file.flush()


def vim() -> str:
    return shutil.which("vim") or shutil.which("vim.tiny") or "vim"


WAYS = {"cp": by_cp, "mv": by_mv, "sed": by_sed, "vim": by_vim, "rsync": by_rsync, "in place": in_place}


@pytest.mark.parametrize("way", WAYS)
def test_edits_by_any_tool_are_followed_and_no_request_fails(place: Place, way: str) -> None:
    tool = vim() if way == "vim" else way
    if way in ("vim", "rsync") and not shutil.which(tool):
        pytest.skip(f"{way} is not installed")
    target = place.specs / "p.yaml"
    target.write_text(place.spec("p", "one"))
    with serve(place.state, *place.flags) as daemon:
        daemon.wait_until_ready({"p"})
        with load(daemon, "p") as seen:
            for text in ("two", "three", "one", "two"):
                WAYS[way](target, place.spec("p", text))
                until(lambda: answers(daemon, "p", text))  # noqa: B023
    assert {status for status, _ in seen} == {200}
    assert {body for _, body in seen} == {b"one", b"two", b"three"}


def test_a_renamed_file_is_the_same_plugin_and_a_deleted_one_is_gone(place: Place) -> None:
    (place.specs / "p.yaml").write_text(place.spec("p", "one"))
    with serve(place.state, *place.flags) as daemon:
        before = daemon.wait_until_ready({"p"})["p"]
        with load(daemon, "p") as seen:
            subprocess.run(["mv", place.specs / "p.yaml", place.specs / "other-name.yaml"], check=True)
            until(lambda: daemon.plugins()["p"]["status"]["owner"]["file"] == "other-name.yaml")
        assert set(seen) == {(200, b"one")}
        after = daemon.plugins()["p"]
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["status"]["revision"] == before["status"]["revision"]
        subprocess.run(["rm", place.specs / "other-name.yaml"], check=True)
        until(lambda: daemon.call("p").status == 404)


def test_a_config_map_swap_is_followed_and_no_request_fails(place: Place) -> None:
    """The kubelet's way: a new timestamped directory, then `..data` is renamed over (kubernetes, atomic_writer.go)."""

    def publish(text: str, stamp: str) -> None:
        folder = place.specs / f"..2026_{stamp}"
        folder.mkdir()
        (folder / "p.yaml").write_text(place.spec("p", text))
        (place.specs / "..data_tmp").symlink_to(folder.name)
        old = os.readlink(place.specs / "..data") if (place.specs / "..data").is_symlink() else None
        (place.specs / "..data_tmp").rename(place.specs / "..data")
        if old is not None:
            shutil.rmtree(place.specs / old)

    publish("one", "1")
    (place.specs / "p.yaml").symlink_to("..data/p.yaml")
    with serve(place.state, *place.flags) as daemon:
        daemon.wait_until_ready({"p"})
        with load(daemon, "p") as seen:
            for stamp, text in enumerate(("two", "three", "one"), 2):
                publish(text, str(stamp))
                until(lambda: answers(daemon, "p", text))  # noqa: B023
    assert {status for status, _ in seen} == {200}


def test_a_directory_that_is_removed_and_made_again_loses_nothing(place: Place) -> None:
    target = place.specs / "p.yaml"
    target.write_text(place.spec("p", "one"))
    with serve(place.state, *place.flags) as daemon:
        daemon.wait_until_ready({"p"})
        shutil.rmtree(place.specs)
        until(lambda: "error" in sources(daemon) and sources(daemon)["error"])
        assert answers(daemon, "p", "one")
        place.specs.mkdir()
        target.write_text(place.spec("p", "two"))
        until(lambda: answers(daemon, "p", "two"))
        assert not sources(daemon)["error"]


def test_a_broken_file_keeps_its_last_good_content_and_shows_where_it_is_broken(place: Place) -> None:
    target = place.specs / "p.yaml"
    target.write_text(place.spec("p", "one"))
    with serve(place.state, *place.flags) as daemon:
        daemon.wait_until_ready({"p"})
        target.write_text(place.spec("p", "two").replace("instances", "instnaces"))
        until(lambda: sources(daemon)["files"][0]["problems"])
        problem = sources(daemon)["files"][0]["problems"][0]
        assert (problem["line"], problem["field"]) == (6, "spec.instnaces")
        assert "did you mean instances" in problem["message"].replace("'", "").replace('"', "")
        assert answers(daemon, "p", "one")
        target.write_text(place.spec("p", "two"))
        until(lambda: answers(daemon, "p", "two"))


def sources(daemon: Daemon) -> dict[str, Any]:
    """The status of the specs directory."""
    (source,) = json.loads(ask(daemon.admin, "/sources").body)["items"]
    return source
