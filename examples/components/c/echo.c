// An HTTP component in plain C: says what it was sent.
//
//   /echo        the body comes back, with the request's headers `x-...` and `trailer`, and its trailers
//   /status/N    an answer with that status
//   /bytes/N     N bytes of body
//   anything     the method and the path, as text
//
// build.sh says how it becomes a component of 15 KB.

#include "wasi_http.h"

static void copy_headers(handle from, handle to) {
  field *entries;
  uint32_t count = fields_entries(from, &entries);
  for (uint32_t i = 0; i < count; i++)
    if (starts(entries[i].name, TEXT("x-")) || same(entries[i].name, TEXT("trailer"))) fields_append(to, entries[i].name, entries[i].value);
}

static void echo(handle request, handle outparam) {
  handle given = request_headers(request), headers = fields_new();
  copy_headers(given, headers);
  fields_drop(given);
  handle in = ok_handle(request_consume_raw, request);
  handle from = ok_handle(body_stream_raw, in);
  handle out = respond(outparam, 200, headers);
  handle to = ok_handle(body_write_raw, out);
  uintptr_t top = heap_top;
  for (text some = read_some(from); some.size && write_all(to, some); some = read_some(from)) heap_top = top;
  input_drop(from);
  output_drop(to);
  handle trailers = trailers_of(in), sent = 0;
  if (trailers) {
    sent = fields_new();
    copy_headers(trailers, sent);
    fields_drop(trailers);
  }
  finish(out, sent);
}

static void say(handle outparam, uint32_t status, text *parts, uint32_t count) {
  handle headers = fields_new();
  fields_append(headers, TEXT("content-type"), TEXT("text/plain"));
  handle out = respond(outparam, status, headers);
  handle to = ok_handle(body_write_raw, out);
  for (uint32_t i = 0; i < count; i++) write_all(to, parts[i]);
  output_drop(to);
  finish(out, 0);
}

static void bytes(handle outparam, uint32_t count) {
  static const char block[4096] = {'w', 'a', 's', 'm', 0, (char)255};
  handle out = respond(outparam, 200, fields_new());
  handle to = ok_handle(body_write_raw, out);
  for (; count > sizeof block; count -= sizeof block) write_all(to, (text){block, sizeof block});
  write_all(to, (text){block, count});
  output_drop(to);
  finish(out, 0);
}

EXPORT("wasi:http/incoming-handler@0.2.0#handle") void handle_request(handle request, handle outparam) {
  heap_reset();
  text path = request_path(request);
  if (starts(path, TEXT("/status/"))) {
    say(outparam, number((text){path.at + 8, path.size - 8}), 0, 0);
  } else if (starts(path, TEXT("/bytes/"))) {
    bytes(outparam, number((text){path.at + 7, path.size - 7}));
  } else if (starts(path, TEXT("/echo"))) {
    echo(request, outparam);
  } else {
    text parts[] = {request_method(request), TEXT(" "), path, TEXT("\n")};
    say(outparam, 200, parts, 4);
  }
  request_drop(request);
}
