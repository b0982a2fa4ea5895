// What the parts of the adapter share: memory, and the objects that a component holds handles to.
//
// Everything here is of one request: with the next one all of it is forgotten, and the handles that a component kept
// are refused. Strings come and go as Latin-1 (the canonical ABI's latin1+utf16): so a string can be any bytes.

#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint32_t handle;  // of an object, in the table of the engine
typedef uint32_t rep;     // the adapter's own number of an object

typedef struct {
  char *at;
  uint32_t size;
} text;

#define TEXT(literal) ((text){(char *)(literal), sizeof(literal) - 1})
#define EVEN __attribute__((aligned(2)))
#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

// A string that leaves the adapter lies at an even address, as a block does: the same, or a copy of it.
text even(text);
// Writes a number at a place that has room for ten digits. How many it takes.
uint32_t write_number(char *to, uint32_t value);

// ---- memory: blocks of powers of two, which know nothing of their size

void *allocate(uint32_t size);
void release(void *block, uint32_t size);
// One for what a call gives; good until the next is asked for.
void *result_block(uint32_t size);
void forget_request(void);

// ---- objects

typedef enum {
  NOTHING, FIELDS, REQUEST, OUTPARAM, INCOMING_BODY, FUTURE_TRAILERS, RESPONSE, OUTGOING_BODY, INPUT, OUTPUT, POLLABLE
} kind;

typedef struct {
  uint8_t kind;
  uint8_t done;  // what may be done once was done
  void *of;      // its state, where it has any
} object;

rep add_object(kind, void *of);
// One that a component lent. Does not return where it is not of this request, or no `kind`.
object *get_object(rep, kind);
// A component let go of one, of whatever request.
void forget_object(rep);
// The component is to trap, for this reason.
_Noreturn void refuse(text why);

// The handles of one type that this component exports: HANDLES(fields, "wasi:http/types@0.2.6", "fields") declares
// fields_give, which makes a handle of a rep, and fields_take, which takes the object that one is of.
#define HANDLES(c_name, interface, name)                                                                  \
  IMPORT("[export]" interface, "[resource-new]" name) handle c_name##_give(rep);                          \
  IMPORT("[export]" interface, "[resource-rep]" name) rep c_name##_rep(handle);                           \
  IMPORT("[export]" interface, "[resource-drop]" name) void c_name##_drop(handle);                        \
  EXPORT(interface "#[dtor]" name) void c_name##_dropped(rep which) { forget_object(which); }             \
  static __attribute__((unused)) object c_name##_take(handle given, kind of) {                            \
    rep which = c_name##_rep(given);                                                                      \
    object taken = *get_object(which, of);                                                                \
    c_name##_drop(given);                                                                                 \
    return taken;                                                                                         \
  }

// ---- fields.c

typedef struct {
  text name, value;
} field;

typedef struct {
  field *at;
  uint32_t count, room, bytes;
  uint8_t fixed;
} fields;

fields *new_fields(void);
// As received: with a name in any case, and those of the connection left out.
void receive_field(fields *, text name, text value);
// The first value of a name; its `at` is 0 without any.
text find_field(const fields *, text name);
handle give_fields(fields *);
fields *take_fields(handle);

// ---- streams.c

handle give_input(int of_request);
handle give_pollable(void);

typedef struct {
  char *at;  // what was not sent yet
  uint32_t size, room;
  uint64_t total, declared;
  uint32_t number;
  uint8_t has_declared, writing, finished;
  fields *trailers;
} body;

handle give_output(body *);
// A request begins, and this is here of its body; `more` of it may come. Where it `flows`, what is written is sent on
// when the component flushes it, or waits.
void begin_streams(text, int more, int flows);
int input_ended(void);

// ---- the host

IMPORT("reconciler:http/host", "receive") void host_receive(text *);
IMPORT("reconciler:http/host", "more") void host_more(text *);
IMPORT("reconciler:http/host", "trailers") void host_trailers(text *);
IMPORT("reconciler:http/host", "send") void host_send(uint32_t what, const char *, uint32_t, const char *, uint32_t);

enum {
  ANSWER,  // the whole response: head is its status, its headers, the body's number, the trailers; body is the rest
  PART,    // of the body of that number
  ERROR,   // head is the number of the error code, body its text
  PRINT,   // the component printed it
  REFUSE,  // the component is to trap, and why
  HEAD,    // where bodies flow: an answer whose body follows; head is as that of ANSWER, without trailers
  UNREAD   // where bodies flow: the component reads no more of the request's body
};
