// `wasi:http/types` fields: headers and trailers. Names are kept in lower case.

#include "adapter.h"

#define TYPES "wasi:http/types@0.2.6"

enum { MOST_BYTES = 128 * 1024 };
enum { FINE = -1, INVALID, FORBIDDEN, IMMUTABLE };  // cases of header-error, but the first

HANDLES(fields, TYPES, "fields")

fields *new_fields(void) {
  fields *made = allocate(sizeof *made);
  *made = (fields){0};
  return made;
}

handle give_fields(fields *of) { return fields_give(add_object(FIELDS, of)); }

fields *take_fields(handle given) { return fields_take(given, FIELDS).of; }

static fields *get(rep which) { return get_object(which, FIELDS)->of; }

// ---- names and values

static uint8_t lower(uint8_t letter) { return letter >= 'A' && letter <= 'Z' ? letter + 32 : letter; }

static int same(text a, text b) {
  if (a.size != b.size) return 0;
  for (uint32_t i = 0; i < a.size; i++)
    if (lower(a.at[i]) != lower(b.at[i])) return 0;
  return 1;
}

// Those of a connection: components may not set them and are not shown them.
static int forbidden(text name) {
  static const text names[] = {
      TEXT("connection"), TEXT("host"), TEXT("http2-settings"), TEXT("keep-alive"), TEXT("proxy-authenticate"),
      TEXT("proxy-authorization"), TEXT("proxy-connection"), TEXT("transfer-encoding"), TEXT("upgrade"),
  };
  for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
    if (same(name, names[i])) return 1;
  return 0;
}

static int is_token(text name) {
  for (uint32_t i = 0; i < name.size; i++) {
    uint8_t letter = name.at[i], small = lower(letter);
    if (small >= 'a' && small <= 'z') continue;
    if (letter >= '0' && letter <= '9') continue;
    switch (letter) {
      case '!': case '#': case '$': case '%': case '&': case '\'': case '*': case '+': case '-': case '.': case '^':
      case '_': case '`': case '|': case '~': continue;
      default: return 0;
    }
  }
  return name.size > 0;
}

static int is_value(text value) {
  for (uint32_t i = 0; i < value.size; i++) {
    uint8_t letter = value.at[i];
    if ((letter < ' ' && letter != '\t') || letter == 127) return 0;
  }
  return 1;
}

// The size of a name that is no Latin-1 has its highest bit set, and no such name is a token.
static int flaw_of(text name) {
  if (name.size >> 31 || !is_token(name)) return INVALID;
  return forbidden(name) ? FORBIDDEN : FINE;
}

// ---- entries

static text copy_of(text from) {
  text made = {allocate(from.size), from.size};
  __builtin_memcpy(made.at, from.at, from.size);
  return made;
}

// Takes the blocks of name and value.
static void add(fields *to, text name, text value) {
  to->bytes += name.size + value.size;
  if (to->bytes > MOST_BYTES) refuse(TEXT("headers or trailers of more than 131072 bytes"));
  if (to->count == to->room) {
    uint32_t room = to->room ? to->room * 2 : 8;
    field *entries = allocate(room * sizeof *entries);
    __builtin_memcpy(entries, to->at, to->count * sizeof *entries);
    release(to->at, to->room * sizeof *entries);
    to->at = entries;
    to->room = room;
  }
  for (uint32_t i = 0; i < name.size; i++) name.at[i] = lower(name.at[i]);
  to->at[to->count++] = (field){name, value};
}

static void discard(text of) {
  if (!(of.size >> 31)) release(of.at, of.size);
}

static void remove_all(fields *from, text name) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < from->count; i++) {
    field entry = from->at[i];
    if (!same(entry.name, name)) {
      from->at[kept++] = entry;
      continue;
    }
    from->bytes -= entry.name.size + entry.value.size;
    discard(entry.name);
    discard(entry.value);
  }
  from->count = kept;
}

void receive_field(fields *to, text name, text value) {
  if (!forbidden(name)) add(to, copy_of(name), copy_of(value));
}

text find_field(const fields *in, text name) {
  for (uint32_t i = 0; i < in->count; i++)
    if (same(in->at[i].name, name)) return in->at[i].value;
  return (text){0, 0};
}

// ---- what the component calls

typedef struct {
  uint8_t error, which;
} outcome;

static outcome *told(int flaw) {
  static outcome of;
  of = flaw == FINE ? (outcome){0, 0} : (outcome){1, flaw};
  return &of;
}

static void free_values(text *values, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) discard(values[i]);
}

EXPORT(TYPES "#[constructor]fields") handle fields_constructor(void) { return give_fields(new_fields()); }

EXPORT(TYPES "#[static]fields.from-list") void *fields_from_list(field *entries, uint32_t count) {
  static struct {
    uint8_t error;
    uint32_t value;
  } result;
  fields *made = new_fields();
  int flaw = FINE;
  for (uint32_t i = 0; i < count && flaw == FINE; i++) {
    flaw = is_value(entries[i].value) ? flaw_of(entries[i].name) : INVALID;
    if (flaw == FINE) add(made, entries[i].name, entries[i].value);
  }
  release(entries, count * sizeof *entries);
  result.error = flaw != FINE;
  result.value = flaw == FINE ? give_fields(made) : (uint32_t)flaw;
  return &result;
}

EXPORT(TYPES "#[method]fields.get") void *fields_get(rep which, char *at, uint32_t size) {
  static struct {
    text *at;
    uint32_t count;
  } result;
  fields *in = get(which);
  text name = {at, size};
  result.at = result_block(in->count * sizeof(text));
  result.count = 0;
  for (uint32_t i = 0; i < in->count; i++)
    if (same(in->at[i].name, name)) result.at[result.count++] = in->at[i].value;
  discard(name);
  return &result;
}

EXPORT(TYPES "#[method]fields.has") uint32_t fields_has(rep which, char *at, uint32_t size) {
  fields *in = get(which);
  text name = {at, size};
  uint32_t found = 0;
  for (uint32_t i = 0; i < in->count && !found; i++) found = same(in->at[i].name, name);
  discard(name);
  return found;
}

EXPORT(TYPES "#[method]fields.set")
void *fields_set(rep which, char *at, uint32_t size, text *values, uint32_t count) {
  fields *in = get(which);
  text name = {at, size};
  int flaw = in->fixed ? IMMUTABLE : flaw_of(name);
  for (uint32_t i = 0; i < count && flaw == FINE; i++)
    if (!is_value(values[i])) flaw = INVALID;
  if (flaw == FINE) {
    remove_all(in, name);
    for (uint32_t i = 0; i < count; i++) add(in, copy_of(name), values[i]);
  } else {
    free_values(values, count);
  }
  discard(name);
  release(values, count * sizeof *values);
  return told(flaw);
}

EXPORT(TYPES "#[method]fields.append")
void *fields_append(rep which, char *at, uint32_t size, char *value_at, uint32_t value_size) {
  fields *in = get(which);
  text name = {at, size}, value = {value_at, value_size};
  int flaw = in->fixed ? IMMUTABLE : is_value(value) ? flaw_of(name) : INVALID;
  if (flaw == FINE) {
    add(in, name, value);
  } else {
    discard(name);
    discard(value);
  }
  return told(flaw);
}

EXPORT(TYPES "#[method]fields.delete") void *fields_delete(rep which, char *at, uint32_t size) {
  fields *in = get(which);
  text name = {at, size};
  int flaw = in->fixed ? IMMUTABLE : flaw_of(name);
  if (flaw == FINE) remove_all(in, name);
  discard(name);
  return told(flaw);
}

EXPORT(TYPES "#[method]fields.entries") void *fields_entries(rep which) {
  static struct {
    field *at;
    uint32_t count;
  } result;
  fields *in = get(which);
  result.at = in->count ? in->at : (field *)8;
  result.count = in->count;
  return &result;
}

EXPORT(TYPES "#[method]fields.clone") handle fields_clone(rep which) {
  fields *from = get(which), *made = new_fields();
  for (uint32_t i = 0; i < from->count; i++) add(made, copy_of(from->at[i].name), copy_of(from->at[i].value));
  return give_fields(made);
}
