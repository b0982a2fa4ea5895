// `wasi:io` over memory, and the streams of `wasi:cli`: nothing here waits but for the next part of a body.

#include "adapter.h"

#define POLL "wasi:io/poll@0.2.6"
#define STREAMS "wasi:io/streams@0.2.6"

enum { MOST_BUFFERED = 64 * 1024, FIRST_BUFFERED = 1024 };
enum { FAILED, CLOSED };  // cases of stream-error; the first never comes

// There are no errors but that a stream is closed, and so no handles of any.
EXPORT("wasi:io/error@0.2.6#[dtor]error") void error_dropped(rep which) { forget_object(which); }
EXPORT("wasi:io/error@0.2.6#[method]error.to-debug-string") void *error_text(rep which) {
  (void)get_object(which, NOTHING);
  __builtin_trap();
}

// ---- waiting

HANDLES(pollable, POLL, "pollable")

handle give_pollable(void) { return pollable_give(add_object(POLLABLE, 0)); }

EXPORT(POLL "#[method]pollable.ready") uint32_t pollable_ready(rep which) { return get_object(which, POLLABLE) != 0; }

EXPORT(POLL "#[method]pollable.block") void pollable_block(rep which) { (void)get_object(which, POLLABLE); }

// All are ready.
EXPORT(POLL "#poll") void *poll(uint32_t *of, uint32_t count) {
  static struct {
    uint32_t *at;
    uint32_t count;
  } result;
  if (!count) __builtin_trap();
  result.at = result_block(count * sizeof *of);
  result.count = count;
  for (uint32_t i = 0; i < count; i++) {
    (void)get_object(of[i], POLLABLE);
    result.at[i] = i;
  }
  release(of, count * sizeof *of);
  return &result;
}

// ---- reading

HANDLES(input, STREAMS, "input-stream")

static text request_body;  // what is here of it and was not read
static text part;          // the block that it lies in, where it did not come with the head
static uint8_t more_comes, flows;
static body *written;  // what the component wrote to last

void begin_streams(text given, int more, int flow) {
  request_body = given;
  part.size = 0;
  more_comes = more;
  flows = flow;
  written = 0;
}

int input_ended(void) { return !more_comes && !request_body.size; }

static void send_part(body *of) {
  char number[10] EVEN;
  host_send(PART, number, write_number(number, of->number), of->at, of->size);
  of->size = 0;
}

// What is written goes on before the component waits, or when it says so.
static void flush(void) {
  if (flows && written && written->size && !written->finished) send_part(written);
}

handle give_input(int of_request) { return input_give(add_object(INPUT, of_request ? &request_body : 0)); }

// The next bytes, `most` at most; none at the end.
static text take(rep which, uint64_t most) {
  text *from = get_object(which, INPUT)->of;
  if (!from) return (text){(char *)1, 0};
  if (!from->size && more_comes) {
    flush();
    release(part.at, part.size);
    host_more(&part);
    *from = part;
    more_comes = part.size > 0;
  }
  text some = *from;
  if (some.size > most) some.size = most;
  from->at += some.size;
  from->size -= some.size;
  return some;
}

EXPORT(STREAMS "#[method]input-stream.read") void *input_read(rep which, uint64_t most) {
  static struct {
    uint8_t error;
    text data;
  } result;
  text some = take(which, most);
  result.error = !some.size && most;
  result.data = some;
  if (result.error) *(uint8_t *)&result.data = CLOSED;
  return &result;
}

EXPORT(STREAMS "#[method]input-stream.blocking-read") void *input_blocking_read(rep which, uint64_t most) {
  return input_read(which, most);
}

typedef struct {
  uint8_t error;
  union {
    uint64_t size;
    uint8_t which;
  };
} counted;

static counted *count(uint64_t size, int closed) {
  static counted result;
  result.error = closed;
  result.size = closed ? CLOSED : size;
  return &result;
}

EXPORT(STREAMS "#[method]input-stream.skip") void *input_skip(rep which, uint64_t most) {
  text some = take(which, most);
  return count(some.size, !some.size && most);
}

EXPORT(STREAMS "#[method]input-stream.blocking-skip") void *input_blocking_skip(rep which, uint64_t most) {
  return input_skip(which, most);
}

EXPORT(STREAMS "#[method]input-stream.subscribe") handle input_subscribe(rep which) {
  (void)get_object(which, INPUT);
  return give_pollable();
}

// ---- writing: to a body, or without one to the log

HANDLES(output, STREAMS, "output-stream")

handle give_output(body *of) { return output_give(add_object(OUTPUT, of)); }

static void make_room(body *of, uint32_t more) {
  uint32_t room = of->room ? of->room : FIRST_BUFFERED;
  while (room < of->size + more && room < MOST_BUFFERED) room *= 2;
  if (room == of->room) return;
  char *bigger = allocate(room);
  __builtin_memcpy(bigger, of->at, of->size);
  release(of->at, of->room);
  of->at = bigger;
  of->room = room;
}

static void append(body *to, text data) {
  to->total += data.size;
  while (data.size) {
    make_room(to, data.size);
    uint32_t size = to->room - to->size;
    if (size > data.size) size = data.size;
    __builtin_memcpy(to->at + to->size, data.at, size);
    to->size += size;
    data = (text){data.at + size, data.size - size};
    if (to->size == MOST_BUFFERED) send_part(to);
  }
}

typedef struct {
  uint8_t error;
  uint32_t which;
  handle none;
} outcome;

static outcome *tell(int closed) {
  static outcome result;
  result = (outcome){closed, CLOSED, 0};
  return &result;
}

// Whether the stream is closed, which it is when its body is finished.
static int put(rep which, text data) {
  body *to = get_object(which, OUTPUT)->of;
  if (to && to->finished) return 1;
  if (to) written = to, append(to, data);
  else if (data.size) host_send(PRINT, data.at, 0, data.at, data.size);
  return 0;
}

EXPORT(STREAMS "#[method]output-stream.check-write") void *output_check(rep which) {
  body *to = get_object(which, OUTPUT)->of;
  return count(MOST_BUFFERED, to && to->finished);
}

EXPORT(STREAMS "#[method]output-stream.write") void *output_write(rep which, char *at, uint32_t size) {
  int closed = put(which, (text){at, size});
  release(at, size);
  return tell(closed);
}

EXPORT(STREAMS "#[method]output-stream.blocking-write-and-flush")
void *output_write_and_flush(rep which, char *at, uint32_t size) {
  void *result = output_write(which, at, size);
  flush();
  return result;
}

EXPORT(STREAMS "#[method]output-stream.flush") void *output_flush(rep which) {
  int closed = put(which, (text){0, 0});
  flush();
  return tell(closed);
}

EXPORT(STREAMS "#[method]output-stream.blocking-flush") void *output_blocking_flush(rep which) {
  return output_flush(which);
}

EXPORT(STREAMS "#[method]output-stream.subscribe") handle output_subscribe(rep which) {
  (void)get_object(which, OUTPUT);
  return give_pollable();
}

EXPORT(STREAMS "#[method]output-stream.write-zeroes") void *output_zeroes(rep which, uint64_t size) {
  static char zeroes[1024];
  int closed = 0;
  while (size && !closed) {
    uint32_t some = size < sizeof zeroes ? size : sizeof zeroes;
    closed = put(which, (text){zeroes, some});
    size -= some;
  }
  return tell(closed);
}

EXPORT(STREAMS "#[method]output-stream.blocking-write-zeroes-and-flush")
void *output_zeroes_and_flush(rep which, uint64_t size) {
  void *result = output_zeroes(which, size);
  flush();
  return result;
}

EXPORT(STREAMS "#[method]output-stream.splice") void *output_splice(rep which, rep from, uint64_t most) {
  text some = take(from, most);
  return count(some.size, put(which, some) || (!some.size && most));
}

EXPORT(STREAMS "#[method]output-stream.blocking-splice")
void *output_blocking_splice(rep which, rep from, uint64_t most) { return output_splice(which, from, most); }

// ---- wasi:cli

EXPORT("wasi:cli/stdin@0.2.6#get-stdin") handle get_stdin(void) { return give_input(0); }
EXPORT("wasi:cli/stdout@0.2.6#get-stdout") handle get_stdout(void) { return give_output(0); }
EXPORT("wasi:cli/stderr@0.2.6#get-stderr") handle get_stderr(void) { return give_output(0); }
