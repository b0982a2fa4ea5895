"""Guests that mean harm, as WAT text.

Belongs here: what they do. Does not: what must come of it (the tests).
"""

from collections.abc import Iterable, Mapping

IMPORTS: Mapping[str, str] = {
    "proxy_log": "iii",
    "proxy_set_tick_period_milliseconds": "i",
    "proxy_get_buffer_bytes": "iiiii",
    "proxy_set_buffer_bytes": "iiiii",
    "proxy_add_header_map_value": "iiiii",
    "proxy_send_local_response": "iiiiiiii",
    "proxy_set_shared_data": "iiiii",
    "proxy_register_shared_queue": "iii",
    "proxy_enqueue_shared_queue": "iii",
    "proxy_define_metric": "iiii",
    "proxy_increment_metric": "iI",
    "proxy_set_property": "iiii",
    "proxy_dispatch_http_call": "iiiiiiiiii",
    "proxy_invoke_service": "iiiiiiii",
    "proxy_get_state": "iiiiii",
    "proxy_done": "",
}
"""Host functions that guests here use, with a letter for each parameter."""

WASI: Mapping[str, str] = {
    "proc_exit": "i",
    "poll_oneoff": "iiii",
    "fd_write": "iiii",
    "random_get": "ii",
    "args_get": "ii",
    "environ_get": "ii",
    "clock_time_get": "iIi",
}

CALLBACKS: Mapping[str, tuple[int, bool]] = {
    "_initialize": (0, False),
    "_start": (0, False),
    "malloc": (1, True),
    "proxy_on_context_create": (2, False),
    "proxy_on_vm_start": (2, True),
    "proxy_on_configure": (2, True),
    "proxy_on_tick": (1, False),
    "proxy_on_queue_ready": (2, False),
    "proxy_on_request_headers": (3, True),
    "proxy_on_request_body": (3, True),
    "proxy_on_request_trailers": (2, True),
    "proxy_on_response_headers": (3, True),
    "proxy_on_response_body": (3, True),
    "proxy_on_http_call_response": (5, False),
    "proxy_on_done": (1, True),
    "proxy_on_log": (1, False),
    "proxy_on_delete": (1, False),
}
"""The callbacks: how many parameters they have, and whether they answer. What is answered is 1, or 0 for an action."""

SPIN = "(loop $ever (br $ever))"
TRAP = "unreachable"
EXIT = "(call $proc_exit (i32.const 3))"
FOR_EVER = "(loop $ever {body} (br $ever))"

FREE = 8192
"""Where a guest's own data may lie; its first pages are zeros below, but for the texts at 16 and 64."""

_ACTIONS = ("headers", "body", "trailers")


def guest(
    bodies: Mapping[str, str],
    *,
    imports: Iterable[str] = (),
    extra: str = "",
    memory: int = 2,
    data: str = "",
) -> bytes:
    """A proxy-wasm module with those callbacks, each a piece of WAT, and whatever it imports."""
    bodies = {"malloc": ""} | dict(bodies)
    wanted = [name for name in (*IMPORTS, *WASI) if name in set(imports)]
    return "\n".join(
        (
            "(module",
            *map(_import, wanted),
            f'(memory (export "memory") {memory})',
            '(data (i32.const 16) "ok")',
            data,
            '(func (export "proxy_abi_version_0_2_1"))',
            *(_callback(name, body) for name, body in bodies.items()),
            extra,
            ")",
        )
    ).encode()


def _import(name: str) -> str:
    letters = IMPORTS.get(name, WASI.get(name, ""))
    module = "env" if name in IMPORTS else "wasi_snapshot_preview1"
    params = " ".join("i64" if letter == "I" else "i32" for letter in letters)
    result = "" if name == "proc_exit" else "(result i32)"
    return f'(import "{module}" "{name}" (func ${name} (param {params}) {result}))'


def _callback(name: str, body: str) -> str:
    count, answers = CALLBACKS[name]
    value = "1" if name in {"malloc", "proxy_on_vm_start", "proxy_on_configure", "proxy_on_done"} else "0"
    if name == "malloc":
        value = str(FREE)
    params = " ".join(["i32"] * count)
    result, end = ("(result i32)", f"(i32.const {value})") if answers else ("", "")
    return f'(func ${name} (export "{name}") (param {params}) {result} {body} {end})'


def doing(callback: str, body: str, *, imports: Iterable[str] = (), extra: str = "") -> bytes:
    """A guest that does something harmful in one callback, and what it takes to get there."""
    bodies, needed, data = dict(_WAYS.get(callback, {})), list(imports), ""
    needed += _NEEDED.get(callback, ())
    if callback == "proxy_on_http_call_response":
        data = _PAIRS
    bodies[callback] = bodies.get(callback, "") + body
    return guest(bodies, imports=needed, extra=extra, data=data)


_DISPATCH = """(drop (call $proxy_dispatch_http_call (i32.const 1024) (i32.const 11) (i32.const 2048) (i32.const 94)
  (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 50) (i32.const 4096)))"""


def _header_map() -> str:
    pairs = [(b":method", b"GET"), (b":path", b"/"), (b":authority", b"127.0.0.1:1")]
    head = len(pairs).to_bytes(4, "little")
    sizes = b"".join(len(text).to_bytes(4, "little") for pair in pairs for text in pair)
    texts = b"".join(text + b"\0" for pair in pairs for text in pair)
    return "".join(f"\\{byte:02x}" for byte in head + sizes + texts)


HEADER_MAP = _header_map()
_PAIRS = f'(data (i32.const 1024) "127.0.0.1:1") (data (i32.const 2048) "{HEADER_MAP}")'
_DISPATCH = _DISPATCH.replace("94", str(len(HEADER_MAP) // 3))
_WAYS: Mapping[str, Mapping[str, str]] = {
    "malloc": {
        "proxy_on_request_headers": """(drop (call $proxy_get_buffer_bytes
          (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 4096) (i32.const 4100)))"""
    },
    "proxy_on_tick": {
        "proxy_on_configure": "(drop (call $proxy_set_tick_period_milliseconds (i32.const 10)))",
    },
    "proxy_on_queue_ready": {
        "proxy_on_configure": """(drop (call $proxy_register_shared_queue
          (i32.const 16) (i32.const 2) (i32.const 4096)))
          (drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 4096)) (i32.const 16) (i32.const 2)))""",
    },
    "proxy_on_http_call_response": {"proxy_on_request_headers": _DISPATCH},
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "malloc": ("proxy_get_buffer_bytes",),
    "proxy_on_tick": ("proxy_set_tick_period_milliseconds",),
    "proxy_on_queue_ready": ("proxy_register_shared_queue", "proxy_enqueue_shared_queue"),
    "proxy_on_http_call_response": ("proxy_dispatch_http_call",),
}

AT_START = ("start", "_initialize", "_start", "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure")
"""What runs before a guest is ready; `start` is the module's own start function."""
AT_REST = ("proxy_on_tick", "proxy_on_queue_ready")
"""What runs without a request."""
IN_A_REQUEST = tuple(name for name in CALLBACKS if name not in (*AT_START, *AT_REST))
"""What runs for one."""


def starting_with(body: str, *, imports: Iterable[str] = ()) -> bytes:
    """A guest whose module has a start function."""
    return guest({}, imports=imports, extra=f"(func $begin {body}) (start $begin)")


def storm(call: str, *, imports: str, data: str = "", memory: int = 2) -> bytes:
    """A guest that makes one host call over and over in each request."""
    return guest(
        {"proxy_on_request_headers": FOR_EVER.format(body=f"(drop {call})")},
        imports=[imports],
        data=data,
        memory=memory,
    )


def constants(*values: int) -> str:
    """Arguments of a call."""
    return " ".join(f"(i32.const {value})" for value in values)
