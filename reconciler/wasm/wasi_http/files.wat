;; Lends a guest streams of files, in the guest's own store: the C API cannot make them (streams.py).
;;
;; `read` and `write` open a file of the first directory that the store has, whose name is the character of a number.

(component
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "input-stream" (type (sub resource)))
    (export "output-stream" (type (sub resource)))))
  (alias export $streams "input-stream" (type $input))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:filesystem/types@0.2.0" (instance $files
    (alias outer 1 $input (type $input)) (export "input-stream" (type (eq $input)))
    (alias outer 1 $output (type $output)) (export "output-stream" (type (eq $output)))
    (export "descriptor" (type $descriptor (sub resource)))
    (type $codes (enum
        "access" "would-block" "already" "bad-descriptor" "busy" "deadlock" "quota" "exist" "file-too-large"
        "illegal-byte-sequence" "in-progress" "interrupted" "invalid" "io" "is-directory" "loop"
        "too-many-links" "message-size" "name-too-long" "no-device" "no-entry" "no-lock" "insufficient-memory"
        "insufficient-space" "not-directory" "not-empty" "not-recoverable" "unsupported" "no-tty"
        "no-such-device" "overflow" "not-permitted" "pipe" "read-only" "invalid-seek" "text-file-busy"
        "cross-device"))
    (export "error-code" (type $error (eq $codes)))
    (type $path (flags "symlink-follow"))
    (export "path-flags" (type $path-flags (eq $path)))
    (type $open (flags "create" "directory" "exclusive" "truncate"))
    (export "open-flags" (type $open-flags (eq $open)))
    (type $access (flags
      "read" "write" "file-integrity-sync" "data-integrity-sync" "requested-write-sync" "mutate-directory"))
    (export "descriptor-flags" (type $descriptor-flags (eq $access)))
    (export "[method]descriptor.open-at" (func
      (param "self" (borrow $descriptor)) (param "path-flags" $path-flags) (param "path" string)
      (param "open-flags" $open-flags) (param "flags" $descriptor-flags)
      (result (result (own $descriptor) (error $error)))))
    (export "[method]descriptor.read-via-stream" (func
      (param "self" (borrow $descriptor)) (param "offset" u64) (result (result (own $input) (error $error)))))
    (export "[method]descriptor.write-via-stream" (func
      (param "self" (borrow $descriptor)) (param "offset" u64) (result (result (own $output) (error $error)))))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $descriptor)) (export "descriptor" (type (eq $descriptor)))
    (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))

  (core module $memory
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 1024))
    (func (export "reset") (global.set $top (i32.const 1024)))
    ;; Never more than the list of directories, which the host bounds: without bounds here, what lies beyond traps.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $space (instantiate $memory))
  (alias core export $space "memory" (core memory $memory))
  (alias core export $space "realloc" (core func $realloc))
  (core func $get-directories (canon lower (func $preopens "get-directories")
    (memory $memory) (realloc $realloc)))
  (core func $open-at (canon lower (func $files "[method]descriptor.open-at") (memory $memory)))
  (core func $read (canon lower (func $files "[method]descriptor.read-via-stream") (memory $memory)))
  (core func $write (canon lower (func $files "[method]descriptor.write-via-stream") (memory $memory)))
  (core func $drop (canon resource.drop $descriptor))

  (core module $opener
    (import "host" "get-directories" (func $get-directories (param i32)))
    (import "host" "open-at" (func $open-at (param i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "read" (func $read (param i32 i64 i32)))
    (import "host" "write" (func $write (param i32 i64 i32)))
    (import "host" "drop" (func $drop (param i32)))
    (import "space" "reset" (func $reset))
    (import "space" "memory" (memory 1))
    ;; A descriptor of the file; all directories that the engine gave out for it are dropped.
    (func $open (param $number i32) (param $open i32) (param $access i32) (result i32)
      (local $list i32) (local $count i32) (local $directory i32)
      (call $reset)
      (call $get-directories (i32.const 0))
      (local.set $list (i32.load (i32.const 0)))
      (local.set $count (i32.load (i32.const 4)))
      (local.set $directory (i32.load (local.get $list)))
      (i32.store8 (i32.const 16) (local.get $number))
      (call $open-at (local.get $directory) (i32.const 0) (i32.const 16) (i32.const 1)
        (local.get $open) (local.get $access) (i32.const 32))
      (loop $rest
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (call $drop (i32.load (i32.add (local.get $list) (i32.mul (local.get $count) (i32.const 12)))))
        (br_if $rest (local.get $count)))
      (if (i32.load8_u (i32.const 32)) (then unreachable))
      (i32.load (i32.const 36)))
    (func (export "read") (param $number i32) (result i32)
      (local $file i32)
      (local.set $file (call $open (local.get $number) (i32.const 0) (i32.const 1)))
      (call $read (local.get $file) (i64.const 0) (i32.const 32))
      (call $drop (local.get $file))
      (if (i32.load8_u (i32.const 32)) (then unreachable))
      (i32.load (i32.const 36)))
    (func (export "write") (param $number i32) (result i32)
      (local $file i32)
      (local.set $file (call $open (local.get $number) (i32.const 1) (i32.const 2)))
      (call $write (local.get $file) (i64.const 0) (i32.const 32))
      (call $drop (local.get $file))
      (if (i32.load8_u (i32.const 32)) (then unreachable))
      (i32.load (i32.const 36))))
  (core instance $opener (instantiate $opener
    (with "space" (instance $space))
    (with "host" (instance
      (export "get-directories" (func $get-directories))
      (export "open-at" (func $open-at))
      (export "read" (func $read))
      (export "write" (func $write))
      (export "drop" (func $drop))))))

  (func (export "read") (param "number" u32) (result (own $input)) (canon lift (core func $opener "read")))
  (func (export "write") (param "number" u32) (result (own $output)) (canon lift (core func $opener "write")))
)
