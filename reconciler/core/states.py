"""Every word for a state, once: conditions, reasons, events. Imports nothing of the project.

Reasons are CamelCase and stable: people alert on them.
"""

from enum import StrEnum


class Condition(StrEnum):
    """The condition types of a plugin's status."""

    ACCEPTED = "Accepted"
    MODULE_READY = "ModuleReady"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    READY = "Ready"
    # Present where the spec names filters:
    FILTERS_READY = "FiltersReady"
    # Present only when true:
    STALLED = "Stalled"
    DRIFTED = "Drifted"
    ROLLED_BACK = "RolledBack"


class Reason(StrEnum):
    """Why a condition has its status, or what an event is about."""

    # Accepted
    VALID = "Valid"
    NAME_CONFLICT = "NameConflict"
    ENGINE_SUBSTITUTED = "EngineSubstituted"
    INVALID_SPEC = "InvalidSpec"
    # ModuleReady
    LOADED = "Loaded"
    COMPILED = "Compiled"
    CACHE_HIT = "CacheHit"
    LOADING = "Loading"
    NOT_FOUND = "NotFound"
    FETCH_FAILED = "FetchFailed"
    DIGEST_MISMATCH = "DigestMismatch"
    SIGNATURE_INVALID = "SignatureInvalid"
    TOO_LARGE = "TooLarge"
    BLOCKED_ADDRESS = "BlockedAddress"
    POLICY_DENIED = "PolicyDenied"
    COMPILE_FAILED = "CompileFailed"
    MISSING_IMPORT = "MissingImport"
    MISSING_EXPORT = "MissingExport"
    UNSUPPORTED_ABI = "UnsupportedABI"
    ENV_UNREADABLE = "EnvUnreadable"
    # Available, Progressing, Ready
    MINIMUM_INSTANCES_READY = "MinimumInstancesReady"
    NO_READY_INSTANCES = "NoReadyInstances"
    SCALED_TO_ZERO = "ScaledToZero"
    SUSPENDED = "Suspended"
    NEW_REVISION = "NewRevision"
    SCALING = "Scaling"
    DRAINING = "Draining"
    ROLLOUT_COMPLETE = "RolloutComplete"
    RECONCILIATION_SUCCEEDED = "ReconciliationSucceeded"
    START_FAILED = "StartFailed"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    CAPACITY_EXHAUSTED = "CapacityExhausted"
    AUTO_REVERTED = "AutoReverted"
    INSTANCE_MISSING = "InstanceMissing"
    # FiltersReady
    FILTERS_SERVE = "FiltersServe"
    FILTER_MISSING = "FilterMissing"
    FILTER_NOT_READY = "FilterNotReady"
    FILTER_UNSUITABLE = "FilterUnsuitable"
    # what a guest did
    TRAPPED = "Trapped"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    CUT_SHORT = "CutShort"
    OUT_OF_MEMORY = "OutOfMemory"
    FUEL_EXHAUSTED = "FuelExhausted"
    STACK_OVERFLOW = "StackOverflow"
    GUEST_EXITED = "GuestExited"
    BAD_RESPONSE = "BadResponse"
    INTERNAL = "InternalError"
    # events
    CREATED = "Created"
    INSTALLED = "Installed"
    RESIZED = "Resized"
    UPDATED = "Updated"
    DRAINED = "Drained"
    UNINSTALLED = "Uninstalled"
    REPLACED = "Replaced"
    PARSE_FAILED = "ParseFailed"
    SOURCE_UNREADABLE = "SourceUnreadable"
    ROLLED_BACK = "RolledBack"
    ID_MISMATCH = "RouteIdMismatch"


class PoolPhase(StrEnum):
    """Where a pool stands.

    LOADING -> STARTING -> IDLE (nothing under way), and back to STARTING at each resize;
    any of the first two -> FAILED, and FAILED -> STARTING at the next try.
    """

    LOADING = "loading"
    STARTING = "starting"
    IDLE = "idle"
    FAILED = "failed"


class NextStep(StrEnum):
    """What to do about a failure."""

    RETRY = "retry"
    """Try again after a backoff: the world may have changed."""
    STALL = "stall"
    """Wait for a change of the spec or the module: trying again gives the same."""
