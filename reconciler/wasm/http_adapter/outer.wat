;; A component around another one: between it and the host stands the adapter, which answers what it asks of
;; `wasi:http` and `wasi:io`. compose.py puts the two into the empty components below, and names for the words in capitals.

(component
  (import "reconciler:http/host" (instance $host
    (export "receive" (func (result string)))
    (export "more" (func (result string)))
    (export "trailers" (func (result string)))
    (export "send" (func (param "what" u32) (param "head" string) (param "body" string)))))
  PASSED_IMPORTS

  (component)  ;; 0: the adapter
  (component)  ;; 1: the one around which this is

  (instance $adapted (instantiate 0 (with "reconciler:http/host" (instance $host))))
  (alias export $adapted "reconciler:http/exchange" (instance $exchange))
  (instance $answering (instantiate 1 GUEST_IMPORTS))
  (alias export $answering "GUEST_HANDLER" (instance $handler))

  ;; One request, by one call of the host: the component is called with what the adapter has for it.
  (component $driver
    (import "incoming-request" (type $request (sub resource)))
    (import "response-outparam" (type $outparam (sub resource)))
    (import "request" (func $request (result (own $request))))
    (import "outparam" (func $outparam (result (own $outparam))))
    (import "handle" (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))))
    (import "done" (func $done (result u32)))
    (core func $request (canon lower (func $request)))
    (core func $outparam (canon lower (func $outparam)))
    (core func $handle (canon lower (func $handle)))
    (core func $done (canon lower (func $done)))
    (core module $caller
      (import "" "request" (func $request (result i32)))
      (import "" "outparam" (func $outparam (result i32)))
      (import "" "handle" (func $handle (param i32 i32)))
      (import "" "done" (func $done (result i32)))
      (func (export "run") (result i32)
        (call $handle (call $request) (call $outparam))
        (call $done)))
    (core instance $caller (instantiate $caller (with "" (instance
      (export "request" (func $request))
      (export "outparam" (func $outparam))
      (export "handle" (func $handle))
      (export "done" (func $done))))))
    (func (export "run") (result u32) (canon lift (core func $caller "run"))))
  (instance $driven (instantiate $driver
    (with "incoming-request" (type $exchange "incoming-request"))
    (with "response-outparam" (type $exchange "response-outparam"))
    (with "request" (func $exchange "request"))
    (with "outparam" (func $exchange "outparam"))
    (with "handle" (func $handler "handle"))
    (with "done" (func $exchange "done"))))
  (instance $exported (export "run" (func $driven "run")))
  (export "GUEST_HANDLER" (instance $exported))
)
