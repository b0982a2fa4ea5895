"""As much of a node as it takes to run a rendered pod's daemon: volumes as the kubelet writes them, a container's
root and user, a network of its own, probes, hooks, the order of stopping.

Belongs here: what the kubelet and the container runtime do. Does not: what a test expects of it.
"""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.charts import helm
from tests.charts.image import Image, Mount, enter
from tests.daemon import until

Object = Mapping[str, Any]
_CALLER: Final = Path(__file__).with_name("caller.py")
_ASK_ONCE: Final = Path(__file__).with_name("ask_once.py")
_ADDRESS: Final = "10.244.0.7"
"""The pod's, in a network of its own."""


class Volumes:
    """A pod's volumes below a directory: ConfigMaps and Secrets with the `..data` link, empty directories."""

    def __init__(self, folder: Path, pod: Object, objects: Iterable[Object]) -> None:
        self._folder = folder
        self._group = pod["securityContext"]["fsGroup"]
        self._kinds = {volume["name"]: volume for volume in pod["volumes"]}
        self._names = itertools.count()
        for volume in pod["volumes"]:
            place = folder / volume["name"]
            place.mkdir(parents=True)
            if "emptyDir" in volume:
                os.chown(place, 0, self._group)
                place.chmod(0o2770)
            else:
                place.chmod(0o755)
        for found in objects:
            self.write(found)

    def path(self, name: str) -> Path:
        """Where the volume is."""
        return self._folder / name

    def write(self, found: Object) -> None:
        """Write a ConfigMap or Secret wherever it is mounted: a new directory, then one rename of a link."""
        for name, volume in self._kinds.items():
            source = volume.get("configMap", {}).get("name"), volume.get("secret", {}).get("secretName")
            if found["kind"] in ("ConfigMap", "Secret") and found["metadata"]["name"] in source:
                self._swap(self.path(name), contents(found), volume)

    def _swap(self, place: Path, files: Mapping[str, bytes], volume: Object) -> None:
        made = place / f"..2026_11_24_{next(self._names):06}"
        made.mkdir(mode=0o755)
        mode = volume.get("secret", {}).get("defaultMode", 0o644)
        for name, content in files.items():
            (made / name).write_bytes(content)
            (made / name).chmod(mode)
            os.chown(made / name, 0, self._group)
        link, old = place / "..data_tmp", place / "..data"
        before = old.resolve() if old.is_symlink() else None
        link.symlink_to(made.name)
        link.rename(old)
        for name in files:
            if not (place / name).is_symlink():
                (place / name).symlink_to(f"..data/{name}")
        for path in place.iterdir():
            if path.is_symlink() and path.name != "..data" and path.name not in files:
                path.unlink()
        if before is not None:
            shutil.rmtree(before)


def contents(found: Object) -> dict[str, bytes]:
    """The files of a ConfigMap or Secret."""
    texts = {name: text.encode() for name, text in (found.get("data") or found.get("stringData") or {}).items()}
    return texts | {name: base64.b64decode(data) for name, data in (found.get("binaryData") or {}).items()}


class Caller:
    """Asks the data plane over and over, from inside the pod, as the application would."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._seen: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._seen.append(json.loads(line))

    def until_answered(self, body: str) -> None:
        """Wait until an answer had that body."""
        until(lambda: body in self._seen or self._process.poll() is not None, f"an answer {body!r}")
        assert body in self._seen, self._seen

    def stop(self) -> dict[str, Any]:
        """How many requests there were, and which failed."""
        self.close()
        found: Any = self._seen[-1]
        return dict(found)

    def close(self) -> None:
        """End it. Closing twice is fine."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._reader.join()
            self._process.stdout.close()


class Pod:
    """The daemon's container of a rendered pod, as a process: its user, its root, its mounts, its network."""

    def __init__(self, image: Image, objects: list[dict[str, Any]], place: Path) -> None:
        self.spec = helm.pod(objects)
        self.container = helm.daemon(self.spec)
        self.volumes = Volumes(place / "volumes", self.spec, objects)
        self._log = place / "log"
        self._callers: list[Caller] = []
        root = place / "root"
        root.mkdir()
        mounts = [
            Mount(self.volumes.path(mount["name"]), mount["mountPath"], mount.get("readOnly", False))
            for mount in self.container["volumeMounts"]
        ]
        given = {entry["name"]: entry["value"] for entry in self.container["env"]}
        environment = [f"{name}={value}" for name, value in (image.environment | given).items()]
        self._as_user = ["setpriv", *self._privileges(), "env", "-i", *environment]
        command = [*self._as_user, *image.entrypoint, *self.container["args"]]
        script = f"ip link set lo up\nip address add {_ADDRESS}/32 dev lo\n" + enter(
            root, [*image.mounts(), *mounts], command
        )
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--net", "--propagation=private", "sh", "-c", script], stdout=log, stderr=log
            )

    def _privileges(self) -> list[str]:
        context = self.container["securityContext"]
        assert context["readOnlyRootFilesystem"], "the root is made read-only because the chart says so"
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["allowPrivilegeEscalation"] is False
        user, group = context["runAsUser"], context["runAsGroup"]
        groups = f"--groups={self.spec['securityContext']['fsGroup']}"
        dropped = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        return [f"--reuid={user}", f"--regid={group}", groups, *dropped]

    @property
    def log(self) -> str:
        return self._log.read_text()

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run something in the container, as `kubectl exec` does."""
        where = ["nsenter", f"--target={self.process.pid}", "--mount", "--net", "--root", "--wd=/"]
        return subprocess.run(
            [*where, *self._as_user, *command], capture_output=True, text=True, timeout=30, check=False
        )

    def probe(self, name: str) -> bool:
        """One try of the container's probe of that name."""
        probe = self.container[name]
        if "exec" in probe:
            return self.inside(*probe["exec"]["command"]).returncode == 0
        asked = probe["httpGet"]
        return 200 <= self.status(asked["scheme"].lower(), asked["port"], asked["path"]) < 400

    def status(self, scheme: str, port: int, path: str, *credentials: str) -> int:
        """What the pod's address answers; see ask_once.py for the credentials. 0: nothing good enough for them."""
        program = [sys.executable, str(_ASK_ONCE), f"{scheme}://{_ADDRESS}:{port}{path}", *credentials]
        command = ["nsenter", f"--target={self.process.pid}", "--net", *program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return int(done.stdout or 0)

    def until_started(self) -> None:
        """Wait as the startup probe does."""
        until(lambda: self.probe("startupProbe") or self.process.poll() is not None, "the startup probe")
        assert self.process.poll() is None, self.log

    def caller(self, path: str) -> Caller:
        """Begin to ask."""
        program = [sys.executable, str(_CALLER), self._port("--listen="), path]
        command = ["nsenter", f"--target={self.process.pid}", "--net", *program]
        caller = Caller(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        self._callers.append(caller)
        return caller

    def until_busy(self, plugin: str) -> None:
        """Wait until a request is inside the plugin, as the daemon's metrics say."""
        port = self._port("--admin=")
        address = f"http://127.0.0.1:{port}/metrics"
        code = f"import urllib.request as u; print(u.urlopen({address!r}).read().decode())"
        line = f'wasm_reconciler_pool_instances{{plugin="{plugin}",state="busy"}} 0'
        until(lambda: plugin in (said := self._in_network(code)) and line not in said, f"a request to {plugin}")

    def _in_network(self, code: str) -> str:
        command = ["nsenter", f"--target={self.process.pid}", "--net", sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    def _port(self, flag: str) -> str:
        found: str = next(arg for arg in self.container["args"] if arg.startswith(flag)).rpartition(":")[2]
        return found

    def pause(self) -> None:
        """Run the preStop hook, if there is one."""
        hook = self.container.get("lifecycle", {}).get("preStop")
        if hook is not None:
            command = hook["exec"]["command"] if "exec" in hook else ["sleep", str(hook["sleep"]["seconds"])]
            assert self.inside(*command).returncode == 0

    def terminate(self) -> int:
        """SIGTERM, and the exit code. An error where it takes longer than the pod's grace period."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(self.spec["terminationGracePeriodSeconds"])

    def close(self) -> None:
        """End it whatever it does, and who asks it."""
        self.process.kill()
        self.process.wait()
        for caller in self._callers:
            caller.close()
