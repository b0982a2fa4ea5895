// Memory and objects of one request. forget_request begins the next.

#include "adapter.h"

enum { CLASSES = 32, SMALLEST = 4, CHUNK = 64, MOST = 10000 };

extern char __heap_base;
static uintptr_t top;
static void *free_blocks[CLASSES];

static uint32_t class_of(uint32_t size) { return size <= 1 << SMALLEST ? SMALLEST : 32 - __builtin_clz(size - 1); }

void *allocate(uint32_t size) {
  if (size > 1u << 30) __builtin_trap();
  uint32_t class = class_of(size);
  if (free_blocks[class]) {
    void *block = free_blocks[class];
    free_blocks[class] = *(void **)block;
    return block;
  }
  if (!top) top = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
  uintptr_t place = top;
  top += (uintptr_t)1 << class;
  uintptr_t have = __builtin_wasm_memory_size(0) << 16;
  if (top > have && __builtin_wasm_memory_grow(0, (top - have + 0xffff) >> 16) == (size_t)-1) __builtin_trap();
  return (void *)place;
}

void release(void *block, uint32_t size) {
  if (!size) return;
  uint32_t class = class_of(size);
  *(void **)block = free_blocks[class];
  free_blocks[class] = block;
}

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  if (!size) return (void *)align;
  if (old_size && class_of(size) == class_of(old_size)) return old;
  void *block = allocate(size);
  __builtin_memcpy(block, old, old_size < size ? old_size : size);
  release(old, old_size);
  return block;
}

static void *result;
static uint32_t result_size;

void *result_block(uint32_t size) {
  release(result, result_size);
  result_size = size;
  return result = allocate(size);
}

text even(text from) {
  if (!((uintptr_t)from.at & 1)) return from;
  char *at = result_block(from.size + 1);
  __builtin_memcpy(at, from.at, from.size);
  return (text){at, from.size};
}

uint32_t write_number(char *to, uint32_t value) {
  uint32_t count = 1;
  for (uint32_t rest = value; rest /= 10;) count++;
  for (uint32_t i = count; i--; value /= 10) to[i] = '0' + value % 10;
  return count;
}

// ---- objects

static object *chunks[MOST / CHUNK + 1];
static uint32_t first = 1;  // the number of the first object of this request; none of an earlier one has it
static uint32_t used, live;
static uint32_t unused;  // one more than the place that was freed last; its `of` is the same of the one before

static object *at(uint32_t place) { return &chunks[place / CHUNK][place % CHUNK]; }

void forget_request(void) {
  first += used;
  top = 0;
  used = live = unused = result_size = 0;
  __builtin_memset(free_blocks, 0, sizeof free_blocks);
}

rep add_object(kind kind, void *of) {
  if (++live > MOST) refuse(TEXT("the component holds more than 10000 resources of the host"));
  uint32_t place = unused ? unused - 1 : used++;
  if (unused)
    unused = (uintptr_t)at(place)->of;
  else if (place % CHUNK == 0)
    chunks[place / CHUNK] = allocate(sizeof(object) * CHUNK);
  *at(place) = (object){kind, 0, of};
  return first + place;
}

object *get_object(rep which, kind kind) {
  uint32_t place = which - first;
  if (place >= used || at(place)->kind != kind) refuse(TEXT("this handle is not of this request"));
  return at(place);
}

void forget_object(rep which) {
  uint32_t place = which - first;
  if (place >= used || at(place)->kind == NOTHING) return;
  *at(place) = (object){NOTHING, 0, (void *)(uintptr_t)unused};
  unused = place + 1;
  live--;
}

_Noreturn void refuse(text why) {
  why = even(why);
  host_send(REFUSE, why.at, why.size, why.at, 0);
  __builtin_trap();
}
