// `wasi:http/types`: the request that came in, the response that is made of it, and their bodies.
//
// The host gives a request as lines: method, path with query, scheme, authority, a 1 or 0 for whether more of the body
// comes than is here and one for whether bodies flow, the number of headers, a name and a value of each. What follows is
// the body. Trailers are lines of their own: their number, or a 0 and an error's number where the body did not come whole,
// then the names and values. A response goes to the host as lines, too.

#include "adapter.h"

#define TYPES "wasi:http/types@0.2.6"

HANDLES(request, TYPES, "incoming-request")
HANDLES(outparam, TYPES, "response-outparam")
HANDLES(incoming, TYPES, "incoming-body")
HANDLES(future, TYPES, "future-trailers")
HANDLES(response, TYPES, "outgoing-response")
HANDLES(outgoing, TYPES, "outgoing-body")

typedef struct {
  uint32_t status;
  fields *headers;
  body *body;
} response;

static struct {
  text method, path, scheme, authority;
  text headers;  // lines
  uint32_t header_count;
  uint8_t flows;
} asked;

static response *answer;  // what the component set
static uint32_t bodies;
static uint8_t failed, whole;

// ---- the request as lines

static text next_line(text *rest) {
  text line = {rest->at, 0};
  while (line.size < rest->size && line.at[line.size] != '\n') line.size++;
  uint32_t taken = line.size < rest->size ? line.size + 1 : line.size;
  *rest = (text){rest->at + taken, rest->size - taken};
  return line;
}

static uint64_t number(text digits) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < digits.size; i++) value = value * 10 + (uint8_t)(digits.at[i] - '0');
  return value;
}

// Goes over the lines of some fields.
static text skip_fields(text *rest, uint32_t *count) {
  *count = number(next_line(rest));
  text lines = *rest;
  for (uint32_t i = 0; i < *count * 2; i++) next_line(rest);
  return lines;
}

static fields *received(text lines, uint32_t count) {
  fields *made = new_fields();
  for (uint32_t i = 0; i < count; i++) {
    text name = next_line(&lines);
    receive_field(made, name, next_line(&lines));
  }
  made->fixed = 1;
  return made;
}

EXPORT("reconciler:http/exchange#request") handle take_request(void) {
  forget_request();
  answer = 0;
  bodies = failed = whole = 0;
  text given;
  host_receive(&given);
  asked.method = next_line(&given);
  asked.path = next_line(&given);
  asked.scheme = next_line(&given);
  asked.authority = next_line(&given);
  text flags = next_line(&given);
  asked.flows = flags.at[1] == '1';
  asked.headers = skip_fields(&given, &asked.header_count);
  begin_streams(given, flags.at[0] == '1', asked.flows);
  return request_give(add_object(REQUEST, 0));
}

EXPORT("reconciler:http/exchange#outparam") handle take_outparam(void) { return outparam_give(add_object(OUTPARAM, 0)); }

EXPORT("reconciler:http/exchange#done") uint32_t done(void) {
  if (failed || whole) return 2;
  return answer != 0;
}

// ---- incoming-request

typedef struct {
  uint8_t which;
  text other;
} named;

typedef struct {
  uint8_t some;
  text value;
} maybe;

static int is(text a, text b) {
  if (a.size != b.size) return 0;
  for (uint32_t i = 0; i < a.size; i++)
    if (a.at[i] != b.at[i]) return 0;
  return 1;
}

EXPORT(TYPES "#[method]incoming-request.method") void *request_method(rep which) {
  static const text names[] = {TEXT("GET"),     TEXT("HEAD"),    TEXT("POST"),  TEXT("PUT"),  TEXT("DELETE"),
                               TEXT("CONNECT"), TEXT("OPTIONS"), TEXT("TRACE"), TEXT("PATCH")};
  enum { OTHER = sizeof names / sizeof *names };
  static named result;
  (void)get_object(which, REQUEST);
  for (result.which = 0; result.which < OTHER; result.which++)
    if (is(asked.method, names[result.which])) return &result;
  result.other = even(asked.method);
  return &result;
}

static maybe *optional(rep which, text of) {
  static maybe result;
  (void)get_object(which, REQUEST);
  result = (maybe){of.size > 0, even(of)};
  return &result;
}

EXPORT(TYPES "#[method]incoming-request.path-with-query") void *request_path(rep which) {
  return optional(which, asked.path);
}

EXPORT(TYPES "#[method]incoming-request.authority") void *request_authority(rep which) {
  return optional(which, asked.authority);
}

EXPORT(TYPES "#[method]incoming-request.scheme") void *request_scheme(rep which) {
  static struct {
    uint8_t some;
    uint8_t padding[3];
    named scheme;
  } result;
  (void)get_object(which, REQUEST);
  result.some = 1;
  result.scheme.which = is(asked.scheme, TEXT("https"));
  return &result;
}

EXPORT(TYPES "#[method]incoming-request.headers") handle request_headers(rep which) {
  (void)get_object(which, REQUEST);
  return give_fields(received(asked.headers, asked.header_count));
}

typedef struct {
  uint8_t error;
  handle value;
} once;

// What may be had once is had for the first time, or an error.
static once *first_time(uint8_t *done) {
  static once result;
  result.error = *done;
  *done = 1;
  return &result;
}

EXPORT(TYPES "#[method]incoming-request.consume") void *request_consume(rep which) {
  once *result = first_time(&get_object(which, REQUEST)->done);
  if (!result->error) result->value = incoming_give(add_object(INCOMING_BODY, 0));
  return result;
}

// ---- incoming-body, future-trailers

EXPORT(TYPES "#[method]incoming-body.stream") void *incoming_stream(rep which) {
  once *result = first_time(&get_object(which, INCOMING_BODY)->done);
  if (!result->error) result->value = give_input(1);
  return result;
}

EXPORT(TYPES "#[static]incoming-body.finish") handle incoming_finish(handle given) {
  (void)incoming_take(given, INCOMING_BODY);
  if (asked.flows && !input_ended()) host_send(UNREAD, 0, 0, 0, 0);
  return future_give(add_object(FUTURE_TRAILERS, 0));
}

EXPORT(TYPES "#[method]future-trailers.subscribe") handle future_subscribe(rep which) {
  (void)get_object(which, FUTURE_TRAILERS);
  return give_pollable();
}

EXPORT(TYPES "#[method]future-trailers.get") void *future_get(rep which) {
  static struct {
    uint64_t ready, told, failed;
    union {
      uint8_t code;
      uint32_t some;
    };
    handle trailers;
    uint64_t room_for_errors[4];
  } result;
  object *future = get_object(which, FUTURE_TRAILERS);
  result.ready = 1;
  result.told = future->done;
  if (future->done) return &result;
  future->done = 1;
  text lines;
  uint32_t count;
  host_trailers(&lines);
  count = number(next_line(&lines));
  result.failed = !count && lines.size;
  result.some = count;
  if (result.failed) result.code = number(next_line(&lines));
  if (count) {
    result.some = 1;
    result.trailers = give_fields(received(lines, count));
  }
  return &result;
}

// ---- what is said to the host

typedef struct {
  char *at;
  uint32_t size;
} writer;

static void put(writer *to, text line) {
  __builtin_memcpy(to->at + to->size, line.at, line.size);
  to->size += line.size;
  to->at[to->size++] = '\n';
}

static void put_number(writer *to, uint32_t value) {
  to->size += write_number(to->at + to->size, value);
  to->at[to->size++] = '\n';
}

static void put_fields(writer *to, const fields *of) {
  put_number(to, of ? of->count : 0);
  for (uint32_t i = 0; of && i < of->count; i++) {
    put(to, of->at[i].name);
    put(to, of->at[i].value);
  }
}

static uint32_t room_for(const fields *of) { return 16 + (of ? of->bytes + of->count * 2 : 0); }

static void send_answer(int is_whole) {
  const body *of = answer->body;
  const fields *trailers = of ? of->trailers : 0;
  uint32_t room = 32 + room_for(answer->headers) + room_for(trailers);
  writer head = {allocate(room), 0};
  put_number(&head, answer->status);
  put_number(&head, of ? of->number : 0);
  put_fields(&head, answer->headers);
  put_fields(&head, trailers);
  if (is_whole)
    host_send(ANSWER, head.at, head.size, of ? of->at : head.at, of ? of->size : 0);
  else
    host_send(HEAD, head.at, head.size, head.at, 0);
  release(head.at, room);
  whole = is_whole;
}

// ---- outgoing-response, response-outparam

static response *get_response(rep which) { return get_object(which, RESPONSE)->of; }

EXPORT(TYPES "#[constructor]outgoing-response") handle response_constructor(handle headers) {
  response *made = allocate(sizeof *made);
  *made = (response){200, take_fields(headers), 0};
  made->headers->fixed = 1;
  return response_give(add_object(RESPONSE, made));
}

EXPORT(TYPES "#[method]outgoing-response.status-code") uint32_t response_status(rep which) {
  return get_response(which)->status;
}

EXPORT(TYPES "#[method]outgoing-response.set-status-code")
uint32_t response_set_status(rep which, uint32_t status) {
  response *of = get_response(which);
  if (status < 100 || status > 999) return 1;
  of->status = status;
  return 0;
}

EXPORT(TYPES "#[method]outgoing-response.headers") handle response_headers(rep which) {
  return give_fields(get_response(which)->headers);
}

// What `content-length` says counts where it is a number.
static void declare_length(body *of, const fields *headers) {
  text length = find_field(headers, TEXT("content-length"));
  of->has_declared = length.size > 0 && length.size < 19;
  for (uint32_t i = 0; i < length.size; i++)
    if (length.at[i] < '0' || length.at[i] > '9') of->has_declared = 0;
  if (of->has_declared) of->declared = number(length);
}

EXPORT(TYPES "#[method]outgoing-response.body") void *response_body(rep which) {
  response *of = get_response(which);
  uint8_t taken = of->body != 0;
  once *result = first_time(&taken);
  if (result->error) return result;
  of->body = allocate(sizeof *of->body);
  *of->body = (body){.number = bodies++};
  declare_length(of->body, of->headers);
  result->value = outgoing_give(add_object(OUTGOING_BODY, of->body));
  return result;
}

// The engine gives the case and the error's payload in as many words as the largest takes.
EXPORT(TYPES "#[static]response-outparam.set")
void outparam_set(handle given, uint32_t is_error, uint32_t value, uint32_t some, uint64_t at, uint32_t size,
                  uint32_t unused_1, uint32_t unused_2, uint32_t unused_3) {
  (void)unused_1, (void)unused_2, (void)unused_3;
  enum { INTERNAL_ERROR = 38 };
  (void)outparam_take(given, OUTPARAM);
  if (is_error) {
    char code[10] EVEN;
    text why = value == INTERNAL_ERROR && some ? (text){(char *)(uintptr_t)at, size} : (text){0, 0};
    host_send(ERROR, code, write_number(code, value), why.at, why.size);
    failed = 1;
    return;
  }
  answer = response_take(value, RESPONSE).of;
  int is_whole = !answer->body || answer->body->finished;
  if (is_whole || asked.flows) send_answer(is_whole);
}

// ---- outgoing-body

EXPORT(TYPES "#[method]outgoing-body.write") void *outgoing_write(rep which) {
  body *of = get_object(which, OUTGOING_BODY)->of;
  once *result = first_time(&of->writing);
  if (!result->error) result->value = give_output(of);
  return result;
}

EXPORT(TYPES "#[static]outgoing-body.finish") void *outgoing_finish(handle given, uint32_t some, handle trailers) {
  enum { HTTP_RESPONSE_BODY_SIZE = 28 };
  static struct {
    uint64_t error, code, some, size;
    uint64_t room_for_errors[2];
  } result;
  body *of = outgoing_take(given, OUTGOING_BODY).of;
  if (some) of->trailers = take_fields(trailers);
  result.error = of->has_declared && of->declared != of->total;
  if (result.error) {
    result.code = HTTP_RESPONSE_BODY_SIZE;
    result.some = 1;
    result.size = of->total;
    return &result;
  }
  of->finished = 1;
  if (answer && answer->body == of) send_answer(1);
  return &result;
}
