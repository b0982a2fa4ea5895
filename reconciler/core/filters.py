"""Whether the filters that a plugin names can do their work: from what is desired and what runs to why not. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.core.observed import Failure, ObservedPlugin
from reconciler.core.states import NextStep, PoolPhase, Reason


@dataclass(frozen=True, slots=True)
class FilterView:
    """One plugin that another names as a filter: whether it is desired at all, and what there is of it."""

    name: str
    desired: bool
    observed: ObservedPlugin


def closed_by(filters: Iterable[FilterView]) -> Failure | None:
    """The first filter that keeps requests out, and why: those behind it are not even asked. None: they all serve."""
    return next((failure for view in filters if (failure := _failure(view)) is not None), None)


def _failure(view: FilterView) -> Failure | None:
    serving = view.observed.serving
    name = f"the filter {view.name!r}"
    if not view.desired:
        return Failure(Reason.FILTER_MISSING, f"{name} is not there: no plugin has that name", NextStep.STALL)
    if serving is None:
        failed = next((pool.failure for pool in view.observed.pools if pool.phase is PoolPhase.FAILED), None)
        why = "" if failed is None else f": {failed.message}"
        step = NextStep.RETRY if failed is None else failed.next_step
        return Failure(Reason.FILTER_NOT_READY, f"{name} is not ready{why}", step)
    if serving.guest is not None and not serving.guest.filter:
        message = f"{name} is a {serving.guest.kind} plugin; only proxy-wasm filters can be before others"
        return Failure(Reason.FILTER_UNSUITABLE, message, NextStep.STALL)
    if not serving.target:
        return Failure(Reason.FILTER_NOT_READY, f"{name} is scaled to zero", NextStep.STALL)
    if not serving.ready:
        return Failure(Reason.FILTER_NOT_READY, f"{name} has no instance that is ready")
    return None
