"""The numbers of the ABI: statuses, buffers, maps, and which exports are called with which types.

From proxy-wasm/spec, abi-versions v0.1.0, v0.2.0 and v0.2.1; CallData from Layotto's fork of proxy-wasm-go-host.
"""

from collections.abc import Mapping
from typing import Final

VERSIONS: Final = ("0_1_0", "0_2_0", "0_2_1")
VERSION_MARKER: Final = "proxy_abi_version_"
ROOT: Final = 1
"""The plugin's (root) context; request contexts count up from there."""

# proxy_status_t
OK: Final = 0
NOT_FOUND: Final = 1
BAD_ARGUMENT: Final = 2
PARSE_FAILURE: Final = 4
INVALID_MEMORY_ACCESS: Final = 6
EMPTY: Final = 7
CAS_MISMATCH: Final = 8
INTERNAL_FAILURE: Final = 10
UNIMPLEMENTED: Final = 12

# proxy_log_level_t
INFO: Final = 2
ERROR: Final = 4
CRITICAL: Final = 5

# proxy_action_t
CONTINUE: Final = 0
PAUSE: Final = 1

# proxy_buffer_type_t
REQUEST_BODY: Final = 0
RESPONSE_BODY: Final = 1
HTTP_CALL_BODY: Final = 4
VM_CONFIGURATION: Final = 6
PLUGIN_CONFIGURATION: Final = 7
CALL_DATA: Final = 8
"""Layotto's; the specification calls 8 FOREIGN_FUNCTION_ARGUMENTS, which this host never passes."""
BUFFERS: Final = 9
"""Buffer numbers lie below."""

# proxy_map_type_t
REQUEST_HEADERS: Final = 0
REQUEST_TRAILERS: Final = 1
RESPONSE_HEADERS: Final = 2
RESPONSE_TRAILERS: Final = 3
HTTP_CALL_HEADERS: Final = 6
HTTP_CALL_TRAILERS: Final = 7
MAPS: Final = 8
"""Map numbers lie below."""

# proxy_stream_type_t
STREAM_REQUEST: Final = 0
STREAM_RESPONSE: Final = 1
STREAMS: Final = 4

# proxy_metric_type_t
COUNTER: Final = 0
GAUGE: Final = 1
HISTOGRAM: Final = 2

CALLBACKS: Final[Mapping[str, tuple[int, ...]]] = {
    "_initialize": (0,),
    "_start": (0,),
    "main": (2,),
    "proxy_on_memory_allocate": (1,),
    "malloc": (1,),
    "proxy_on_context_create": (2,),
    "proxy_on_vm_start": (2,),
    "proxy_on_configure": (2,),
    "proxy_on_tick": (1,),
    "proxy_on_queue_ready": (2,),
    "proxy_on_request_headers": (2, 3),
    "proxy_on_request_body": (3,),
    "proxy_on_request_trailers": (2,),
    "proxy_on_response_headers": (2, 3),
    "proxy_on_response_body": (3,),
    "proxy_on_response_trailers": (2,),
    "proxy_on_http_call_response": (5,),
    "proxy_on_done": (1,),
    "proxy_on_log": (1,),
    "proxy_on_delete": (1,),
    "proxy_get_id": (0, 1),
    "proxy_get_id_length": (0,),
}
"""The exports that this host calls, with the numbers of 32-bit parameters that they may have.

The headers callbacks got `end_of_stream` with 0.2.0. Callbacks for TCP streams and gRPC exist in the ABI but are about
things that do not happen here: there are no raw streams, and gRPC calls answer UNIMPLEMENTED.
"""
