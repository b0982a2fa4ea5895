/*
 * A plugin SDK in one header: proxy-wasm for freestanding C, with Layotto's additions.
 *
 * What belongs here: the host functions that a plugin calls, the callbacks that the host calls, and the
 * memory between them. What does not: parsing, strings, anything a plugin can do for itself.
 *
 * Include it from one .c file. A callback that is not declared with its PW_ON_... macro is not exported,
 * and a host function that is not called is not imported, so a module carries only what it uses.
 *
 * Memory. The host hands data over by calling `malloc` here. Such data is valid until the callback returns:
 * every callback starts with all of it free again, so a module that lives for ever does not grow for ever.
 * What PW_ON_CONFIGURE received stays. Nothing else may be kept from one callback to the next.
 *
 * The ABI is proxy-wasm 0.2.1 (https://github.com/proxy-wasm/spec); numbers below are its numbers.
 */
#ifndef PROXY_WASM_H
#define PROXY_WASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes with a length, not terminated. Texts too. */
typedef struct {
    const char *data;
    uint32_t size;
} pw_bytes;

#define PW_TEXT(literal) ((pw_bytes){(literal), sizeof(literal) - 1})
#define PW_NOTHING ((pw_bytes){0, 0})

typedef enum { PW_TRACE, PW_DEBUG, PW_INFO, PW_WARN, PW_ERROR, PW_CRITICAL } pw_level;
typedef enum { PW_CONTINUE, PW_PAUSE } pw_action;
typedef enum { PW_OK, PW_NOT_FOUND, PW_BAD_ARGUMENT, PW_INTERNAL_FAILURE = 10, PW_UNIMPLEMENTED = 12 } pw_status;
typedef enum { PW_REQUEST_HEADERS, PW_REQUEST_TRAILERS, PW_RESPONSE_HEADERS, PW_RESPONSE_TRAILERS } pw_map;
typedef enum {
    PW_REQUEST_BODY = 0,
    PW_RESPONSE_BODY = 1,
    PW_PLUGIN_CONFIGURATION = 7,
    PW_CALL_DATA = 8, /* Layotto's: where proxy_get_id leaves the id */
} pw_buffer;

/* ---- the host's functions, as they are on the wire ---- */

#define PW_EXPORT(name) __attribute__((export_name(name)))
#define PW_IMPORT(name) __attribute__((import_module("env"), import_name(name))) extern uint32_t

PW_IMPORT("proxy_log") pw_host_log(uint32_t level, const char *data, uint32_t size);
PW_IMPORT("proxy_get_buffer_bytes")
pw_host_get_buffer(uint32_t buffer, uint32_t start, uint32_t most, const char **data, uint32_t *size);
PW_IMPORT("proxy_set_buffer_bytes")
pw_host_set_buffer(uint32_t buffer, uint32_t start, uint32_t length, const char *data, uint32_t size);
PW_IMPORT("proxy_get_header_map_value")
pw_host_get_header(uint32_t map, const char *key, uint32_t key_size, const char **data, uint32_t *size);
PW_IMPORT("proxy_add_header_map_value")
pw_host_add_header(uint32_t map, const char *key, uint32_t key_size, const char *data, uint32_t size);
PW_IMPORT("proxy_replace_header_map_value")
pw_host_replace_header(uint32_t map, const char *key, uint32_t key_size, const char *data, uint32_t size);
PW_IMPORT("proxy_remove_header_map_value") pw_host_remove_header(uint32_t map, const char *key, uint32_t key_size);
PW_IMPORT("proxy_send_local_response")
pw_host_send_local_response(uint32_t status, const char *detail, uint32_t detail_size, const char *body,
                            uint32_t body_size, const char *headers, uint32_t headers_size, uint32_t grpc_status);
PW_IMPORT("proxy_get_state")
pw_host_get_state(const char *store, uint32_t store_size, const char *key, uint32_t key_size, const char **data,
                  uint32_t *size);
PW_IMPORT("proxy_invoke_service")
pw_host_invoke_service(const char *id, uint32_t id_size, const char *method, uint32_t method_size, const char *body,
                       uint32_t body_size, const char **data, uint32_t *size);

/* ---- memory ---- */

#define PW_PAGE 65536u

extern char __heap_base; /* the linker's: the first byte that nothing else uses */

static uintptr_t pw_heap_floor; /* what PW_ON_CONFIGURE keeps lies below */
static uintptr_t pw_heap_top;

/* Called by the host for each value that it hands over. Null when the memory limit is reached. */
PW_EXPORT("malloc") void *pw_malloc(uint32_t size) {
    if (pw_heap_top == 0) {
        pw_heap_top = pw_heap_floor = ((uintptr_t)&__heap_base + 7) & ~(uintptr_t)7;
    }
    uint64_t end = ((uint64_t)pw_heap_top + size + 7) & ~(uint64_t)7;
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PW_PAGE;
    if (end > have) {
        uint64_t pages = (end - have + PW_PAGE - 1) / PW_PAGE;
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) {
            return 0;
        }
    }
    void *block = (void *)pw_heap_top;
    pw_heap_top = (uintptr_t)end;
    return block;
}

static inline void pw_free_all(void) { pw_heap_top = pw_heap_floor; }
static inline void pw_keep_all(void) { pw_heap_floor = pw_heap_top; }

/* All parts after one another, in memory of this callback. Traps when there is none left. */
static inline pw_bytes pw_concat(const pw_bytes *parts, uint32_t count) {
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += parts[i].size;
    }
    char *data = pw_malloc(size);
    if (!data) {
        __builtin_trap();
    }
    char *end = data;
    for (uint32_t i = 0; i < count; i++) {
        __builtin_memcpy(end, parts[i].data, parts[i].size);
        end += parts[i].size;
    }
    return (pw_bytes){data, size};
}

static inline bool pw_equal(pw_bytes a, pw_bytes b) {
    if (a.size != b.size) {
        return false;
    }
    for (uint32_t i = 0; i < a.size; i++) {
        if (a.data[i] != b.data[i]) {
            return false;
        }
    }
    return true;
}

/* ---- what a plugin calls ---- */

static inline void pw_log(pw_level level, pw_bytes text) { pw_host_log(level, text.data, text.size); }

/* At most `most` bytes of a buffer from `start` on; empty where it has none. */
static inline pw_bytes pw_get_buffer(pw_buffer buffer, uint32_t start, uint32_t most) {
    pw_bytes found = PW_NOTHING;
    return pw_host_get_buffer(buffer, start, most, &found.data, &found.size) == PW_OK ? found : PW_NOTHING;
}

/* Replaces the whole buffer. The length is the largest that hosts with signed numbers, such as Layotto, take as one. */
static inline pw_status pw_set_buffer(pw_buffer buffer, pw_bytes content) {
    return pw_host_set_buffer(buffer, 0, INT32_MAX, content.data, content.size);
}

/* False where there is no such header. */
static inline bool pw_get_header(pw_map map, pw_bytes key, pw_bytes *value) {
    *value = PW_NOTHING;
    return pw_host_get_header(map, key.data, key.size, &value->data, &value->size) == PW_OK;
}

static inline pw_status pw_add_header(pw_map map, pw_bytes key, pw_bytes value) {
    return pw_host_add_header(map, key.data, key.size, value.data, value.size);
}

static inline pw_status pw_replace_header(pw_map map, pw_bytes key, pw_bytes value) {
    return pw_host_replace_header(map, key.data, key.size, value.data, value.size);
}

static inline pw_status pw_remove_header(pw_map map, pw_bytes key) {
    return pw_host_remove_header(map, key.data, key.size);
}

/* Answers the request here and now; return PW_PAUSE afterwards. */
static inline pw_status pw_send_local_response(uint32_t status, pw_bytes body) {
    return pw_host_send_local_response(status, 0, 0, body.data, body.size, 0, 0, UINT32_MAX);
}

/* Layotto's: the value of a key in a state store, empty where the key is missing. */
static inline pw_status pw_get_state(pw_bytes store, pw_bytes key, pw_bytes *value) {
    *value = PW_NOTHING;
    return pw_host_get_state(store.data, store.size, key.data, key.size, &value->data, &value->size);
}

/* Layotto's: asks the function `id` and waits for its answer. */
static inline pw_status pw_invoke_service(pw_bytes id, pw_bytes method, pw_bytes body, pw_bytes *answer) {
    *answer = PW_NOTHING;
    return pw_host_invoke_service(id.data, id.size, method.data, method.size, body.data, body.size, &answer->data,
                                  &answer->size);
}

/* ---- what the host calls ---- */

/* Says which ABI the module speaks: PW_ABI(0_2_1). */
#define PW_ABI(version) PW_EXPORT("proxy_abi_version_" #version) void pw_abi_version(void) {}

/* Layotto's: the route that this function answers on. */
#define PW_FUNCTION_ID(literal)                                                                                       \
    PW_EXPORT("proxy_get_id") void pw_function_id(void) { pw_set_buffer(PW_CALL_DATA, PW_TEXT(literal)); }

/* A callback of a stream: `context` names the stream, `amount` counts headers or bytes, `end` says that no more comes. */
#define PW_STREAM_CALLBACK(name, context, amount, end)                                                                \
    static pw_action pw_##name(uint32_t context, uint32_t amount, bool end);                                          \
    PW_EXPORT(#name) uint32_t pw_export_##name(uint32_t context_, uint32_t amount_, uint32_t end_) {                  \
        pw_free_all();                                                                                                \
        return pw_##name(context_, amount_, end_ != 0);                                                               \
    }                                                                                                                 \
    static pw_action pw_##name(uint32_t context, uint32_t amount, bool end)

#define PW_ON_REQUEST_HEADERS(context, count, end) PW_STREAM_CALLBACK(proxy_on_request_headers, context, count, end)
#define PW_ON_REQUEST_BODY(context, size, end) PW_STREAM_CALLBACK(proxy_on_request_body, context, size, end)
#define PW_ON_RESPONSE_HEADERS(context, count, end) PW_STREAM_CALLBACK(proxy_on_response_headers, context, count, end)
#define PW_ON_RESPONSE_BODY(context, size, end) PW_STREAM_CALLBACK(proxy_on_response_body, context, size, end)

/* Runs once, with the plugin's configuration; false refuses it. What it reads from the host stays. */
#define PW_ON_CONFIGURE(configuration)                                                                                \
    static bool pw_on_configure(pw_bytes configuration);                                                              \
    PW_EXPORT("proxy_on_configure") uint32_t pw_export_on_configure(uint32_t context, uint32_t size) {                \
        (void)context;                                                                                                \
        bool accepted = pw_on_configure(pw_get_buffer(PW_PLUGIN_CONFIGURATION, 0, size));                             \
        pw_keep_all();                                                                                                \
        return accepted;                                                                                              \
    }                                                                                                                 \
    static bool pw_on_configure(pw_bytes configuration)

#endif
