"""Memory that instances take from a pool of slots, and give back, instead of mapping and unmapping it.

A fresh instance for each request spends two thirds of its time in the kernel where its memories are mapped for it.
A slot stays mapped; what is written to it is cleared when it is given back. The package has no method for it.

Belongs here: how such an engine is configured. Does not: which guests get it (engine.py).
"""

import mmap
from typing import Final

import wasmtime
from wasmtime import _ffi as native

MEMORIES: Final = 2_000
"""Memories at once. Each takes 4 GiB of address space, of which a process mostly has 128 TiB."""
_TABLES: Final = 4_000
_CORE_INSTANCES: Final = 20_000
_LARGEST_MEMORY: Final = 1 << 32
_TABLE_ELEMENTS: Final = 1 << 20
_KEPT: Final = 64 * 1024
"""Bytes at the start of a memory or a table that are cleared by writing zeroes; the kernel takes back the rest."""


_ADDRESSES: Final = MEMORIES * (_LARGEST_MEMORY + (64 << 20))


def room_for_slots() -> bool:
    """Whether this process may have that many addresses. Making an engine without them would end the process."""
    try:
        mmap.mmap(-1, _ADDRESSES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except (OSError, ValueError):
        return False
    return True


def use_slots(config: wasmtime.Config, *, memories: int, tables: int, instances: int) -> None:
    """Let instances of an engine take their memory from slots; one component may have that many of each."""
    slots = native.wasmtime_pooling_allocation_config_new()
    try:
        native.wasmtime_pooling_allocation_config_total_memories_set(slots, MEMORIES)
        native.wasmtime_pooling_allocation_config_total_tables_set(slots, _TABLES)
        native.wasmtime_pooling_allocation_config_total_component_instances_set(slots, MEMORIES)
        native.wasmtime_pooling_allocation_config_total_core_instances_set(slots, _CORE_INSTANCES)
        native.wasmtime_pooling_allocation_config_max_memories_per_component_set(slots, memories)
        native.wasmtime_pooling_allocation_config_max_tables_per_component_set(slots, tables)
        native.wasmtime_pooling_allocation_config_max_core_instances_per_component_set(slots, instances)
        native.wasmtime_pooling_allocation_config_max_memory_size_set(slots, _LARGEST_MEMORY)
        native.wasmtime_pooling_allocation_config_table_elements_set(slots, _TABLE_ELEMENTS)
        native.wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(slots, _KEPT)
        native.wasmtime_pooling_allocation_config_table_keep_resident_set(slots, _KEPT)
        native.wasmtime_pooling_allocation_strategy_set(config.ptr(), slots)
    finally:
        native.wasmtime_pooling_allocation_config_delete(slots)
