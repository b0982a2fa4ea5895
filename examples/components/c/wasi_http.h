// wasi:http for freestanding C: the functions that a handler needs, as the canonical ABI passes them, and little more.
// Results of more than one word come through a pointer; each wrapper below says what it reads there.
// An allocator that only grows serves the host's strings and lists; it starts anew with each request.

#include <stddef.h>
#include <stdint.h>

typedef uint32_t handle;

typedef struct {
  const char *at;
  uint32_t size;
} text;

#define TEXT(literal) ((text){(literal), sizeof(literal) - 1})
#define HTTP(name) __attribute__((import_module("wasi:http/types@0.2.0"), import_name(name)))
#define STREAMS(name) __attribute__((import_module("wasi:io/streams@0.2.0"), import_name(name)))
#define POLL(name) __attribute__((import_module("wasi:io/poll@0.2.0"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

HTTP("[method]incoming-request.method") void request_method_raw(handle, void *);
HTTP("[method]incoming-request.path-with-query") void request_path_raw(handle, void *);
HTTP("[method]incoming-request.headers") handle request_headers(handle);
HTTP("[method]incoming-request.consume") void request_consume_raw(handle, void *);
HTTP("[method]incoming-body.stream") void body_stream_raw(handle, void *);
HTTP("[static]incoming-body.finish") handle body_trailers(handle);
HTTP("[method]future-trailers.subscribe") handle trailers_subscribe(handle);
HTTP("[method]future-trailers.get") void trailers_get_raw(handle, void *);
HTTP("[constructor]fields") handle fields_new(void);
HTTP("[method]fields.entries") void fields_entries_raw(handle, void *);
HTTP("[method]fields.append") void fields_append_raw(handle, const char *, uint32_t, const char *, uint32_t, void *);
HTTP("[constructor]outgoing-response") handle response_new(handle headers);
HTTP("[method]outgoing-response.set-status-code") uint32_t response_set_status(handle, uint32_t);
HTTP("[method]outgoing-response.body") void response_body_raw(handle, void *);
HTTP("[method]outgoing-body.write") void body_write_raw(handle, void *);
HTTP("[static]outgoing-body.finish") void body_finish_raw(handle, uint32_t has_trailers, handle trailers, void *);
HTTP("[static]response-outparam.set")
void outparam_set_raw(handle, uint32_t is_error, uint32_t, uint32_t, uint64_t, uint32_t, uint32_t, uint32_t, uint32_t);
HTTP("[resource-drop]incoming-request") void request_drop(handle);
HTTP("[resource-drop]incoming-body") void incoming_body_drop(handle);
HTTP("[resource-drop]future-trailers") void future_trailers_drop(handle);
HTTP("[resource-drop]fields") void fields_drop(handle);
HTTP("[resource-drop]outgoing-body") void outgoing_body_drop(handle);
POLL("[method]pollable.block") void pollable_block(handle);
POLL("[resource-drop]pollable") void pollable_drop(handle);
STREAMS("[method]input-stream.blocking-read") void read_raw(handle, uint64_t, void *);
STREAMS("[method]output-stream.blocking-write-and-flush") void write_raw(handle, const char *, uint32_t, void *);
STREAMS("[resource-drop]input-stream") void input_drop(handle);
STREAMS("[resource-drop]output-stream") void output_drop(handle);

// ---- memory

extern char __heap_base;
static uintptr_t heap_top;

static void heap_reset(void) { heap_top = (uintptr_t)&__heap_base; }

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  if (!heap_top) heap_reset();
  uintptr_t place = (heap_top + align - 1) & ~(uintptr_t)(align - 1);
  heap_top = place + size;
  uintptr_t have = __builtin_wasm_memory_size(0) << 16;
  if (heap_top > have && __builtin_wasm_memory_grow(0, (heap_top - have + 0xffff) >> 16) == (size_t)-1) __builtin_trap();
  if (old_size) __builtin_memcpy((void *)place, old, old_size < size ? old_size : size);
  return (void *)place;
}

// ---- text

static int same(text a, text b) {
  if (a.size != b.size) return 0;
  for (uint32_t i = 0; i < a.size; i++)
    if (a.at[i] != b.at[i]) return 0;
  return 1;
}

static int starts(text a, text b) { return a.size >= b.size && same((text){a.at, b.size}, b); }

static uint32_t number(text a) {
  uint32_t value = 0;
  for (uint32_t i = 0; i < a.size && a.at[i] >= '0' && a.at[i] <= '9'; i++) value = value * 10 + (a.at[i] - '0');
  return value;
}

// ---- wasi:http, with results as values

typedef struct {
  text name, value;
} field;

static text request_method(handle request) {
  static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  struct {
    uint8_t which;
    text other;
  } found;
  request_method_raw(request, &found);
  if (found.which > 8) return found.other;
  static const uint8_t sizes[] = {3, 4, 4, 3, 6, 7, 7, 5, 5};
  return (text){names[found.which], sizes[found.which]};
}

static text request_path(handle request) {
  struct {
    uint8_t some;
    text path;
  } found;
  request_path_raw(request, &found);
  return found.some ? found.path : TEXT("");
}

// The handle of a result<own<...>>; 0 where it is an error.
static handle ok_handle(void (*get)(handle, void *), handle of) {
  struct {
    uint8_t error;
    handle value;
  } found;
  get(of, &found);
  return found.error ? 0 : found.value;
}

static uint32_t fields_entries(handle fields, field **entries) {
  struct {
    field *at;
    uint32_t size;
  } found;
  fields_entries_raw(fields, &found);
  *entries = found.at;
  return found.size;
}

static void fields_append(handle fields, text name, text value) {
  uint8_t result[2];
  fields_append_raw(fields, name.at, name.size, value.at, value.size, result);
}

// The trailers of a body that was read to its end; 0 without any.
static handle trailers_of(handle body) {
  struct {
    uint64_t some, refused, failed;
    uint32_t some_trailers;
    handle trailers;
    uint64_t rest[4];
  } found;
  handle future = body_trailers(body), ready = trailers_subscribe(future);
  pollable_block(ready);
  pollable_drop(ready);
  trailers_get_raw(future, &found);
  future_trailers_drop(future);
  return (uint8_t)found.some && !(uint8_t)found.refused && !(uint8_t)found.failed && (uint8_t)found.some_trailers
             ? found.trailers
             : 0;
}

// Some bytes; none at the end.
static text read_some(handle stream) {
  struct {
    uint8_t error;
    text data;
  } found;
  read_raw(stream, 65536, &found);
  return found.error ? TEXT("") : found.data;
}

// Writes all of it; false where the stream is closed.
static int write_all(handle stream, text data) {
  while (data.size) {
    uint32_t size = data.size < 4096 ? data.size : 4096;
    struct {
      uint8_t error;
      uint32_t what, which;
    } found;
    write_raw(stream, data.at, size, &found);
    if (found.error) return 0;
    data = (text){data.at + size, data.size - size};
  }
  return 1;
}

// Sends the head of a response; the body, which is then to be written and finished.
static handle respond(handle outparam, uint32_t status, handle headers) {
  handle response = response_new(headers);
  response_set_status(response, status);
  handle body = ok_handle(response_body_raw, response);
  outparam_set_raw(outparam, 0, response, 0, 0, 0, 0, 0, 0);
  return body;
}

static void finish(handle body, handle trailers) {
  uint64_t result[6];
  body_finish_raw(body, trailers != 0, trailers, result);
}
