;; A proxy-wasm filter as text. It answers every request with its greeting; nothing has to be built.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "Hello from WAT!\0a")
  (data (i32.const 64) "somebody asks")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $log (i32.const 2) (i32.const 64) (i32.const 13)))
    (drop (call $answer (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 16)
                        (i32.const 0) (i32.const 0) (i32.const -1)))
    (i32.const 1)))
