"""What there is to talk about: groups, versions, kinds, verbs. The source of discovery, routes and error texts."""

from dataclasses import dataclass
from typing import Final

from specs.model import API_GROUP, KIND

READ: Final = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A part of an object with an address of its own. `kind`, `group` and `version` are of what is exchanged there."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str
    version: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object that is served."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    verbs: tuple[str, ...]
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()

    @property
    def api_version(self) -> str:
        """As objects carry it: `GROUP/VERSION`, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As errors name it: `wasmplugins.wasm-reconciler.dev`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """As errors name the kind: `WasmPlugin.wasm-reconciler.dev`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def base(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def paths(self) -> tuple[str, ...]:
        """The templates of its collections: over all namespaces, and of one."""
        if not self.namespaced:
            return (f"{self.base}/{self.plural}",)
        return (f"{self.base}/{self.plural}", f"{self.base}/namespaces/{{namespace}}/{self.plural}")


PLUGINS: Final = Resource(
    group=API_GROUP,
    version="v1alpha1",
    plural="wasmplugins",
    singular="wasmplugin",
    kind=KIND,
    verbs=("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
    short_names=("wp",),
    categories=("all",),
    subresources=(
        Subresource("scale", "Scale", ("get", "patch", "update"), "autoscaling", "v1"),
        Subresource("status", KIND, ("get", "patch"), API_GROUP, "v1alpha1"),
    ),
)
CORE_EVENTS: Final = Resource("", "v1", "events", "event", "Event", READ, short_names=("ev",))
EVENTS: Final = Resource("events.k8s.io", "v1", "events", "event", "Event", READ, short_names=("ev",))
NAMESPACES: Final = Resource("", "v1", "namespaces", "namespace", "Namespace", READ, False, ("ns",))
ACCESS_REVIEWS: Final = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "selfsubjectaccessreview",
    "SelfSubjectAccessReview",
    ("create",),
    False,
)
RULES_REVIEWS: Final = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectrulesreviews",
    "selfsubjectrulesreview",
    "SelfSubjectRulesReview",
    ("create",),
    False,
)

RESOURCES: Final = (PLUGINS, CORE_EVENTS, EVENTS, NAMESPACES, ACCESS_REVIEWS, RULES_REVIEWS)
"""Everything that is served."""
