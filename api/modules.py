"""The parts that bring modules, put together from the flags about them. For daemon.py alone."""

import ssl
import threading
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

from api.metrics.fetches import CountedFetcher, FetchMeter
from api.settings import ServeSettings
from reconciler.host.content import ContentStore
from reconciler.host.fetch.credentials import Credentials
from reconciler.host.fetch.policy import ModuleHosts
from reconciler.host.fetch.registry import Registry
from reconciler.host.fetch.remote import RemoteModules
from reconciler.host.fetch.tags import ImageTags
from reconciler.host.fetch.web import Web
from reconciler.host.files import MAX_MODULE_BYTES, FileDigests, RootedFiles
from reconciler.host.supply import ModuleSupply
from reconciler.wasm.egress import EgressBounds, PinnedHttpClient, Resolver


@dataclass(frozen=True, slots=True)
class ModuleParts:
    """`supply` for the module cache, `digests` and `tags` for the resolver, `remote` to be closed first at the end."""

    supply: ModuleSupply
    digests: FileDigests
    tags: ImageTags | None
    remote: RemoteModules


def module_parts(
    settings: ServeSettings,
    names: Resolver,
    tls: ssl.SSLContext,
    changed: Callable[[Iterable[str]], None],
    fetches: FetchMeter,
    needed: Callable[[], Set[str]],
) -> ModuleParts:
    """`names` resolves hosts, `changed(plugins)` asks for a pass, `fetches` counts; `needed` as ContentStore has it.

    ValueError, with a sentence, for a bad flag.
    """
    try:
        hosts = ModuleHosts.parse(settings.module_hosts)
    except ValueError as error:
        raise ValueError(f"--module-hosts: {error}") from None
    stopping = threading.Event()
    web = Web(PinnedHttpClient(names, tls, EgressBounds(body=MAX_MODULE_BYTES)), hosts, stopping)
    credentials = None if settings.registry_auth is None else Credentials(settings.registry_auth)
    registry = Registry(web, hosts, credentials)
    remote = RemoteModules(web, registry, stopping)
    files = RootedFiles(settings.module_root)
    return ModuleParts(
        supply=ModuleSupply(files.read, CountedFetcher(remote, fetches), ContentStore(settings.state, needed=needed)),
        digests=FileDigests(files.read),
        tags=ImageTags(registry, changed) if settings.allow_image_tags else None,
        remote=remote,
    )
