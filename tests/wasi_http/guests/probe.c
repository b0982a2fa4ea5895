// A component that misbehaves, or uses what a host offers, as the path of the request says.
//
// light.c makes a component of it that asks for no more than the adapter offers.

#include "wasi_http.h"

#define CLI(name) __attribute__((import_module("wasi:cli/stdout@0.2.0"), import_name(name)))
#define CLOCK(name) __attribute__((import_module("wasi:clocks/monotonic-clock@0.2.0"), import_name(name)))
#define CONFIG(name) __attribute__((import_module("wasi:config/store@0.2.0-draft-2024-09-27"), import_name(name)))
#define STORE(name) __attribute__((import_module("wasi:keyvalue/store@0.2.0-draft2"), import_name(name)))
#define ATOMICS(name) __attribute__((import_module("wasi:keyvalue/atomics@0.2.0-draft2"), import_name(name)))
#define ENVIRONMENT(name) __attribute__((import_module("wasi:cli/environment@0.2.0"), import_name(name)))
#define OUTGOING(name) __attribute__((import_module("wasi:http/outgoing-handler@0.2.0"), import_name(name)))

CLI("get-stdout") handle get_stdout(void);
HTTP("[resource-drop]response-outparam") void outparam_drop(handle);
HTTP("[static]fields.from-list") void fields_from_list_raw(const field *, uint32_t, void *);
HTTP("[method]fields.get") void fields_get_raw(handle, const char *, uint32_t, void *);
HTTP("[method]fields.has") uint32_t fields_has(handle, const char *, uint32_t);
HTTP("[method]fields.set") void fields_set_raw(handle, const char *, uint32_t, const text *, uint32_t, void *);
HTTP("[method]fields.delete") void fields_delete_raw(handle, const char *, uint32_t, void *);
HTTP("[method]fields.clone") handle fields_clone(handle);
CONFIG("get") void config_get_raw(const char *, uint32_t, void *);
ENVIRONMENT("get-environment") void environment_raw(void *);
#ifndef LIGHT
CLOCK("subscribe-duration") handle subscribe_duration(uint64_t);
CLOCK("now") uint64_t now(void);
STORE("open") void store_open_raw(const char *, uint32_t, void *);
STORE("[method]bucket.get") void bucket_get_raw(handle, const char *, uint32_t, void *);
STORE("[method]bucket.set") void bucket_set_raw(handle, const char *, uint32_t, const char *, uint32_t, void *);
STORE("[method]bucket.delete") void bucket_delete_raw(handle, const char *, uint32_t, void *);
STORE("[method]bucket.exists") void bucket_exists_raw(handle, const char *, uint32_t, void *);
STORE("[method]bucket.list-keys") void bucket_list_raw(handle, uint32_t some, const char *, uint32_t, void *);
ATOMICS("increment") void increment_raw(handle, const char *, uint32_t, uint64_t, void *);
ATOMICS("[static]cas.new") void cas_new_raw(handle, const char *, uint32_t, void *);
ATOMICS("[method]cas.current") void cas_current_raw(handle, void *);
ATOMICS("swap") void swap_raw(handle, const char *, uint32_t, void *);
STORE("[resource-drop]bucket") void bucket_drop(handle);
HTTP("[constructor]outgoing-request") handle outgoing_new(handle headers);
HTTP("[method]outgoing-request.set-method") uint32_t outgoing_set_method(handle, uint32_t, const char *, uint32_t);
HTTP("[method]outgoing-request.set-scheme") uint32_t outgoing_set_scheme(handle, uint32_t, uint32_t, const char *, uint32_t);
HTTP("[method]outgoing-request.set-authority") uint32_t outgoing_set_authority(handle, uint32_t, const char *, uint32_t);
HTTP("[method]outgoing-request.set-path-with-query") uint32_t outgoing_set_path(handle, uint32_t, const char *, uint32_t);
HTTP("[method]outgoing-request.body") void outgoing_body_raw(handle, void *);
HTTP("[method]future-incoming-response.subscribe") handle future_subscribe(handle);
HTTP("[method]future-incoming-response.get") void future_get_raw(handle, void *);
HTTP("[method]incoming-response.status") uint32_t incoming_status(handle);
HTTP("[method]incoming-response.consume") void incoming_consume_raw(handle, void *);
HTTP("[resource-drop]incoming-response") void incoming_response_drop(handle);
HTTP("[resource-drop]future-incoming-response") void future_drop(handle);
OUTGOING("handle") void outgoing_handle_raw(handle, uint32_t some_options, handle options, void *);
#endif

static handle kept; // from one request to the next, where the store is used again
static uint32_t requests;

static void send(handle outparam, text data) {
  handle out = respond(outparam, 200, fields_new());
  handle to = ok_handle(body_write_raw, out);
  write_all(to, data);
  output_drop(to);
  finish(out, 0);
}

static void spin(void) {
  for (volatile uint32_t i = 0;; i++) {
  }
}

static void endless(handle outparam) {
  static const char block[4096];
  handle to = ok_handle(body_write_raw, respond(outparam, 200, fields_new()));
  while (write_all(to, (text){block, sizeof block})) {
  }
}

static void half(handle outparam) {
  handle to = ok_handle(body_write_raw, respond(outparam, 200, fields_new()));
  write_all(to, TEXT("half of it"));
  __builtin_trap();
}

// `size` bytes of the body before it is said what is answered.
static void early(handle outparam, uint32_t size) {
  static const char block[4096];
  handle response = response_new(fields_new());
  handle out = ok_handle(response_body_raw, response);
  handle to = ok_handle(body_write_raw, out);
  for (; size && write_all(to, (text){block, sizeof block}); size -= sizeof block) {
  }
  output_drop(to);
  outparam_set_raw(outparam, 0, response, 0, 0, 0, 0, 0, 0);
  finish(out, 0);
}

static void wrong_length(handle outparam) {
  handle headers = fields_new();
  fields_append(headers, TEXT("content-length"), TEXT("100"));
  handle out = respond(outparam, 200, headers);
  handle to = ok_handle(body_write_raw, out);
  write_all(to, TEXT("short"));
  output_drop(to);
  finish(out, 0);
}

static void print(text data) {
  handle to = get_stdout();
  write_all(to, data);
  output_drop(to);
}

// What fields say to the orders in the request's body: a letter, the sizes of a name and a value, and these.
static void tell_fields(handle request, handle outparam) {
  handle headers = fields_new(), body = ok_handle(request_consume_raw, request), from = ok_handle(body_stream_raw, body);
  handle to_client = respond(outparam, 200, fields_new()), to = ok_handle(body_write_raw, to_client);
  text orders = read_some(from);
  for (uint32_t at = 0; at < orders.size;) {
    char order = orders.at[at];
    text name = {orders.at + at + 3, (uint8_t)orders.at[at + 1]};
    text value = {name.at + name.size, (uint8_t)orders.at[at + 2]};
    at += 3 + name.size + value.size;
    struct {
      uint8_t error, which;
    } result = {0, 0};
    struct {
      uint8_t error;
      uint32_t value;
    } made = {0, 0};
    struct {
      text *at;
      uint32_t size;
    } values = {0, 0};
    field *entries;
    switch (order) {
      case 'a': fields_append_raw(headers, name.at, name.size, value.at, value.size, &result); break;
      case 'm':
        for (int i = 0; i < 255; i++) fields_append_raw(headers, name.at, name.size, value.at, value.size, &result);
        break;
      case 's': fields_set_raw(headers, name.at, name.size, &value, 1, &result); break;
      case 'd': fields_delete_raw(headers, name.at, name.size, &result); break;
      case 'h': result.error = !fields_has(headers, name.at, name.size); break;
      case 'c': headers = fields_clone(headers); break;
      case 'r': headers = request_headers(request); break;
      case 'f':
        fields_from_list_raw(&(field){name, value}, 1, &made);
        result.error = made.error;
        result.which = (uint8_t)made.value;
        break;
      case 'g':
        fields_get_raw(headers, name.at, name.size, &values);
        for (uint32_t i = 0; i < values.size; i++) {
          write_all(to, values.at[i]);
          write_all(to, TEXT(","));
        }
        break;
      case 'e':
        for (uint32_t i = 0, count = fields_entries(headers, &entries); i < count; i++) {
          write_all(to, entries[i].name);
          write_all(to, TEXT("="));
          write_all(to, entries[i].value);
          write_all(to, TEXT(","));
        }
    }
    static const text words[] = {TEXT("invalid\n"), TEXT("forbidden\n"), TEXT("immutable\n")};
    write_all(to, result.error ? words[result.which] : TEXT("ok\n"));
  }
  output_drop(to);
  finish(to_client, 0);
}

static text config_get(text key) {
  struct {
    uint32_t error, some;
    text value;
  } found;
  config_get_raw(key.at, key.size, &found);
  if ((uint8_t)found.error) return TEXT("error");
  return (uint8_t)found.some ? found.value : TEXT("nothing");
}

static text variable(text name) {
  struct {
    field *at;
    uint32_t size;
  } found;
  environment_raw(&found);
  for (uint32_t i = 0; i < found.size; i++)
    if (same(found.at[i].name, name)) return found.at[i].value;
  return TEXT("nothing");
}

#ifndef LIGHT
static void wait(uint64_t nanoseconds) {
  handle pollable = subscribe_duration(nanoseconds);
  pollable_block(pollable);
  pollable_drop(pollable);
}

// A part of an answer, after which the host has had the time to send it on.
static handle begun(handle outparam) {
  static const char block[4096];
  handle out = respond(outparam, 200, fields_new());
  handle to = ok_handle(body_write_raw, out);
  for (int i = 0; i < 25; i++) write_all(to, (text){block, sizeof block});
  wait(20000000);
  output_drop(to);
  return out;
}

static text store_get(text store, text key) {
  struct {
    uint32_t error;
    handle bucket;
    text rest;
  } opened;
  store_open_raw(store.at, store.size, &opened);
  if ((uint8_t)opened.error) return (uint8_t)opened.bucket == 0 ? TEXT("no such store") : TEXT("error");
  struct {
    uint32_t error, some;
    text value;
  } found;
  bucket_get_raw(opened.bucket, key.at, key.size, &found);
  bucket_drop(opened.bucket);
  if ((uint8_t)found.error) return TEXT("error");
  return (uint8_t)found.some ? found.value : TEXT("nothing");
}

// What the function of the store that is named by its first letter answers for the key `k`.
static text store_do(char what, text value) {
  struct {
    uint32_t error;
    handle bucket;
    text rest;
  } opened;
  store_open_raw("counts", 6, &opened);
  if ((uint8_t)opened.error) return TEXT("closed");
  struct {
    uint8_t error, padding[7];
    union {
      struct {
        uint8_t kind, padding[3];
        text words;
      } error;
      struct {
        text *at;
        uint32_t size, more;
      } keys;
      handle cas;
      int64_t number;
      uint8_t flag;
    } as;
  } found = {0};
  struct {
    uint8_t error, padding[3];
    union {
      uint8_t flag;
      struct {
        text *at;
        uint32_t size, more;
      } keys;
      handle cas;
      struct {
        uint8_t kind, padding[3];
        text words;
      } error;
    } as;
  } narrow = {0};
  static char digits[1];
  text said = TEXT("ok");
  if (what == 's') {
    bucket_set_raw(opened.bucket, "k", 1, value.at, value.size, &narrow);
  } else if (what == 'd') {
    bucket_delete_raw(opened.bucket, "k", 1, &narrow);
  } else if (what == 'e') {
    bucket_exists_raw(opened.bucket, "k", 1, &narrow);
    if (!narrow.error) said = narrow.as.flag ? TEXT("yes") : TEXT("no");
  } else if (what == 'l') {
    bucket_list_raw(opened.bucket, 0, 0, 0, &narrow);
    digits[0] = (char)('0' + narrow.as.keys.size);
    if (!narrow.error) said = (text){digits, 1};
  } else if (what == 'i') {
    increment_raw(opened.bucket, "k", 1, 3, &found);
    digits[0] = (char)('0' + found.as.number);
    if (!found.error) said = (text){digits, 1};
    narrow.error = found.error;
  } else {  // swap: sets the value, and 'x' sets another one in between
    cas_new_raw(opened.bucket, "k", 1, &narrow);
    handle cas = narrow.as.cas;
    if (what == 'x') bucket_set_raw(opened.bucket, "k", 1, "1", 1, &narrow);
    uint32_t swapped[8];
    swap_raw(cas, value.at, value.size, swapped);
    narrow.error = (uint8_t)swapped[0];
  }
  bucket_drop(opened.bucket);
  return narrow.error ? TEXT("error") : said;
}

// GET (or POST, with a body) of http://AUTHORITY/PATH; what came back, or which error code.
static void call(handle outparam, text authority, text path, text body) {
  handle request = outgoing_new(fields_new());
  if (body.size) outgoing_set_method(request, 2, 0, 0);
  outgoing_set_scheme(request, 1, 0, 0, 0);
  outgoing_set_authority(request, 1, authority.at, authority.size);
  outgoing_set_path(request, 1, path.at, path.size);
  handle out = body.size ? ok_handle(outgoing_body_raw, request) : 0;
  struct {
    uint64_t error;
    uint32_t value;
    uint32_t rest[7];
  } sent;
  outgoing_handle_raw(request, 0, 0, &sent);
  if ((uint8_t)sent.error) {
    char code[] = {'c', 'o', 'd', 'e', ' ', (char)('0' + (uint8_t)sent.value / 10), (char)('0' + (uint8_t)sent.value % 10)};
    send(outparam, (text){code, sizeof code});
    return;
  }
  if (out) {
    handle to = ok_handle(body_write_raw, out);
    write_all(to, body);
    output_drop(to);
    finish(out, 0);
  }
  handle pollable = future_subscribe(sent.value);
  pollable_block(pollable);
  pollable_drop(pollable);
  struct {
    uint64_t some, refused, failed;
    uint32_t value;
    uint32_t rest[7];
  } got;
  future_get_raw(sent.value, &got);
  future_drop(sent.value);
  if (!(uint8_t)got.some) {
    send(outparam, TEXT("not yet"));
    return;
  }
  if ((uint8_t)got.failed) {
    char code[] = {'c', 'o', 'd', 'e', ' ', (char)('0' + (uint8_t)got.value / 10), (char)('0' + (uint8_t)got.value % 10)};
    send(outparam, (text){code, sizeof code});
    return;
  }
  handle in = ok_handle(incoming_consume_raw, got.value);
  handle from = ok_handle(body_stream_raw, in);
  handle to_client = respond(outparam, incoming_status(got.value), fields_new());
  handle to = ok_handle(body_write_raw, to_client);
  for (text some = read_some(from); some.size && write_all(to, some); some = read_some(from)) {
  }
  input_drop(from);
  output_drop(to);
  incoming_body_drop(in);
  incoming_response_drop(got.value);
  finish(to_client, 0);
}
#endif

static text after(text path, text prefix) { return (text){path.at + prefix.size, path.size - prefix.size}; }

#define WHEN(name) else if (same(path, TEXT(name)))
#define WITH(name) else if (starts(path, TEXT(name)))

EXPORT("wasi:http/incoming-handler@0.2.0#handle") void handle_request(handle request, handle outparam) {
  heap_reset();
  requests++;
  text path = request_path(request);
  if (same(path, TEXT("/trap"))) __builtin_trap();
  WHEN("/spin") spin();
  WHEN("/silent") {}
  WHEN("/refuse") outparam_set_raw(outparam, 1, 38, 0, 0, 0, 0, 0, 0);
  WHEN("/drop-outparam") outparam_drop(outparam);
  WHEN("/endless") endless(outparam);
  WHEN("/half") half(outparam);
  WHEN("/wrong-length") wrong_length(outparam);
  WHEN("/leak") for (;;) fields_new();
  WHEN("/grow") for (;;) cabi_realloc(0, 0, 8, 1 << 20);
  WHEN("/bad-handle") fields_drop(12345);
  WHEN("/drop-twice") {
    handle headers = request_headers(request);
    fields_drop(headers);
    fields_drop(headers);
  }
  WHEN("/drop-parent") {
    handle body = ok_handle(request_consume_raw, request);
    handle from = ok_handle(body_stream_raw, body);
    incoming_body_drop(body);
    send(outparam, read_some(from));
    input_drop(from);
  }
  WHEN("/trap-after") {
    send(outparam, TEXT("whole"));
    __builtin_trap();
  }
  WHEN("/spin-after") {
    send(outparam, TEXT("whole"));
    spin();
  }
  WHEN("/unfinished") {
    handle out = respond(outparam, 200, fields_new());
    handle to = ok_handle(body_write_raw, out);
    write_all(to, TEXT("some"));
    output_drop(to);
    outgoing_body_drop(out);
  }
  WHEN("/flow-early") early(outparam, 204800);
  WHEN("/flood-early") early(outparam, 1 << 23);
  WHEN("/print") {
    print(TEXT("first\nsecond"));
    print(TEXT(" half\n"));
    send(outparam, TEXT("printed"));
  }
  WHEN("/flood") {
    static const char line[4096] = "flood\n";
    for (int i = 0; i < 1000; i++) print((text){line, sizeof line});
    send(outparam, TEXT("printed"));
  }
  WHEN("/keep") {
    kept = request_headers(request);
    send(outparam, TEXT("kept"));
  }
  WHEN("/use") {
    field *entries;
    fields_entries(kept, &entries);
    send(outparam, TEXT("used"));
  }
  WHEN("/fields") tell_fields(request, outparam);
  WHEN("/count") {
    char digits[] = {(char)('0' + requests / 10 % 10), (char)('0' + requests % 10)};
    send(outparam, (text){digits, 2});
  }
  WITH("/env/") send(outparam, variable(after(path, TEXT("/env/"))));
  WITH("/config/") send(outparam, config_get(after(path, TEXT("/config/"))));
#ifndef LIGHT
  WHEN("/flow-trap") {
    begun(outparam);
    __builtin_trap();
  }
  WHEN("/flow-unfinished") outgoing_body_drop(begun(outparam));
  WHEN("/flow-spin") {
    begun(outparam);
    spin();
  }
  WHEN("/sleep") {
    wait(3600000000000ull);
    send(outparam, TEXT("slept"));
  }
  WHEN("/nap") {
    uint64_t start = now();
    wait(20000000);
    send(outparam, now() - start >= 20000000 ? TEXT("napped") : TEXT("too short"));
  }
  WITH("/kv/") {
    text rest = after(path, TEXT("/kv/"));
    send(outparam, store_do(rest.at[0], after(rest, TEXT("s_"))));
  }
  WITH("/store/") send(outparam, store_get(TEXT("books"), after(path, TEXT("/store/"))));
  WHEN("/no-store") send(outparam, store_get(TEXT("films"), TEXT("x")));
  WITH("/call/") call(outparam, after(path, TEXT("/call/")), TEXT("/there?a=b"), TEXT(""));
  WITH("/post/") call(outparam, after(path, TEXT("/post/")), TEXT("/there"), TEXT("a body"));
#endif
  else send(outparam, TEXT("ok"));
}
