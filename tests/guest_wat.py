"""Small guests as WAT text, for tests that need one that behaves in a known way."""


def answering(text: str, *, before: str = "", start: str = "", exports: str = "") -> bytes:
    """A proxy-wasm filter that answers every request with `text`.

    `before` is WAT that runs in proxy_on_request_headers first, `start` WAT of proxy_on_configure.
    """
    return f"""
    (module
      (import "env" "proxy_send_local_response"
        (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (global $calls (mut i32) (i32.const 0))
      (data (i32.const 16) "{text}")
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "malloc") (param i32) (result i32) i32.const 4096)
      (func (export "proxy_on_configure") (param i32 i32) (result i32)
        {start}
        i32.const 1)
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        {before}
        (drop (call $answer (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 16) (i32.const {len(text)})
                            (i32.const 0) (i32.const 0) (i32.const -1)))
        i32.const 1)
      {exports})
    """.encode()


def stamping(letter: str, *, before: str = "", exports: str = "") -> bytes:
    """A proxy-wasm filter that appends a letter to every body that passes, and adds the header or trailer `x-LETTER`.

    `before` is WAT that runs in proxy_on_request_headers first; what it leaves in the local `$action` is answered.
    """
    phases = (("request", 0, 1), ("response", 2, 3))
    callbacks = "".join(
        f"""
      (func (export "proxy_on_{phase}_headers") (param i32 i32 i32) (result i32) (local $action i32)
        {before if phase == "request" else ""}
        (call $stamp (i32.const {headers}))
        (local.get $action))
      (func (export "proxy_on_{phase}_body") (param i32 i32 i32) (result i32)
        (drop (call $append (i32.const {body}) (i32.const 0x7fffffff) (i32.const 0) (i32.const 18) (i32.const 1)))
        i32.const 0)
      (func (export "proxy_on_{phase}_trailers") (param i32 i32) (result i32)
        (call $stamp (i32.const {trailers}))
        i32.const 0)"""
        for body, (phase, headers, trailers) in enumerate(phases)
    )
    return f"""
    (module
      (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
      (import "env" "proxy_set_buffer_bytes" (func $append (param i32 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 16) "x-{letter}")
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "malloc") (param i32) (result i32) i32.const 4096)
      (func $stamp (param $map i32)
        (drop (call $add (local.get $map) (i32.const 16) (i32.const 3) (i32.const 18) (i32.const 1))))
      {callbacks}
      {exports})
    """.encode()


SPIN = "(loop $for_ever (br $for_ever))"
"""WAT that never ends."""

TRAP = "unreachable"
"""WAT that traps."""


def work(iterations: int) -> str:
    """WAT that counts so far: some time that is not waiting."""
    return f"""(block $done (loop $again
        (global.set $work (i32.add (global.get $work) (i32.const 1)))
        (br_if $done (i32.ge_u (global.get $work) (i32.const {iterations})))
        (br $again)))
        (global.set $work (i32.const 0))"""


WORK_GLOBAL = "(global $work (mut i32) (i32.const 0))"
"""What `work` needs among the `exports`."""


def trap_on_call(number: int) -> str:
    """WAT that traps in the instance's `number`th request."""
    return f"(if (i32.eq (global.get $calls) (i32.const {number})) (then unreachable))"
