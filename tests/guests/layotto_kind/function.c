/*
 * A function as Layotto's own demo modules are made, seen from outside: the imports that those modules have
 * (and no others), memory handed over through `malloc` alone, and `proxy_get_id` in the shapes that Layotto's
 * history knows. Written from the wire facts, not with examples/sdk, so that it tests the host on its own terms.
 *
 * -DENTRY="_start" or "_initialize", and one of
 *   -DID_BY_CALL_DATA  () -> ()     the id is left in buffer 8 (Layotto since its fix of issue 191)
 *   -DID_BY_STATUS     () -> i32    the same, and a status is returned: 0 is Ok
 *   -DID_BY_POINTER    () -> i32    the address of the id, its length from proxy_get_id_length
 *   -DID_BY_RESULT     (i32) -> ()  a string as TinyGo returns one: address and length are written where the
 *                                   caller says
 *
 * The request's body is a command: `state KEY`, `invoke ROUTE BODY`, `header NAME`, `echo TEXT`, `foreign NAME` (the
 * status as a digit), `count` (requests so far, the last digit). Anything else pauses.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID "id_kind"
#define EXPORT(name) __attribute__((export_name(name)))
#define ENV(name) __attribute__((import_module("env"), import_name(name))) extern uint32_t
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(name))) extern uint32_t

enum { REQUEST_BODY = 0, RESPONSE_BODY = 1, CALL_DATA = 8, REQUEST_HEADERS = 0, WHOLE = 0x7fffffff };
enum { INFO = 2, ERROR = 4, CONTINUE = 0, PAUSE = 1 };

ENV("proxy_log") proxy_log(uint32_t level, const char *text, uint32_t size);
ENV("proxy_set_effective_context") proxy_set_effective_context(uint32_t context);
ENV("proxy_get_buffer_bytes")
proxy_get_buffer_bytes(uint32_t buffer, uint32_t start, uint32_t most, char **data, uint32_t *size);
ENV("proxy_set_buffer_bytes")
proxy_set_buffer_bytes(uint32_t buffer, uint32_t start, uint32_t length, const char *data, uint32_t size);
ENV("proxy_get_header_map_pairs") proxy_get_header_map_pairs(uint32_t map, char **data, uint32_t *size);
ENV("proxy_call_foreign_function")
proxy_call_foreign_function(const char *name, uint32_t name_size, const char *argument, uint32_t argument_size,
                            char **data, uint32_t *size);
ENV("proxy_get_state")
proxy_get_state(const char *store, uint32_t store_size, const char *key, uint32_t key_size, char **data, uint32_t *size);
ENV("proxy_invoke_service")
proxy_invoke_service(const char *id, uint32_t id_size, const char *method, uint32_t method_size, const char *body,
                     uint32_t body_size, char **data, uint32_t *size);

WASI("fd_write") fd_write(uint32_t fd, const void *vectors, uint32_t count, uint32_t *written);
WASI("args_sizes_get") args_sizes_get(uint32_t *count, uint32_t *size);
WASI("args_get") args_get(char **arguments, char *text);

static char heap[1 << 18];
static uint32_t heap_used;
static uint32_t requests;
static bool started;

EXPORT("proxy_abi_version_0_2_0") void proxy_abi_version_0_2_0(void) {}

EXPORT("malloc") void *allocate(uint32_t size) {
    uint32_t start = heap_used;
    if (size > sizeof heap - start) {
        return 0;
    }
    heap_used = (start + size + 7) & ~7u;
    return heap + start;
}

static bool same(const char *a, const char *b, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

static void print(const char *text, uint32_t size) {
    struct {
        const char *data;
        uint32_t size;
    } vector = {text, size};
    uint32_t written;
    fd_write(1, &vector, 1, &written);
}

EXPORT(ENTRY) void start(void) {
    char *arguments[8];
    char text[256];
    uint32_t count = 0, size = 0;
    if (args_sizes_get(&count, &size) == 0 && count <= 8 && size <= sizeof text) {
        args_get(arguments, text);
    }
    started = true;
    print("started\n", 8);
}

#if defined(ID_BY_CALL_DATA)
EXPORT("proxy_get_id") void get_id(void) { proxy_set_buffer_bytes(CALL_DATA, 0, WHOLE, ID, sizeof ID - 1); }
#elif defined(ID_BY_STATUS)
EXPORT("proxy_get_id") uint32_t get_id(void) {
    return proxy_set_buffer_bytes(CALL_DATA, 0, WHOLE, ID, sizeof ID - 1);
}
#elif defined(ID_BY_POINTER)
EXPORT("proxy_get_id_length") uint32_t get_id_length(void) { return sizeof ID - 1; }
EXPORT("proxy_get_id") const char *get_id(void) { return ID; }
#elif defined(ID_BY_RESULT)
EXPORT("proxy_get_id") void get_id(struct { const char *data; uint32_t size; } *result) {
    result->data = ID;
    result->size = sizeof ID - 1;
}
#endif

/* A second root context of one number is a trap, as in Layotto's Rust modules. */
EXPORT("proxy_on_context_create") void on_context_create(uint32_t context, uint32_t parent) {
    static bool root_exists;
    if (parent == 0) {
        if (root_exists || context != 1) {
            __builtin_trap();
        }
        root_exists = true;
    }
}

EXPORT("proxy_on_vm_start") uint32_t on_vm_start(uint32_t context, uint32_t size) { return started; }
EXPORT("proxy_on_configure") uint32_t on_configure(uint32_t context, uint32_t size) { return 1; }
EXPORT("proxy_on_request_headers") uint32_t on_request_headers(uint32_t context, uint32_t count, uint32_t end) {
    heap_used = 0;
    requests++;
    return CONTINUE;
}

static uint32_t answer(const char *data, uint32_t size) {
    return proxy_set_buffer_bytes(RESPONSE_BODY, 0, WHOLE, data, size) == 0 ? CONTINUE : PAUSE;
}

/* The rest of `body` after `command` and a space; null where another command is meant. */
static const char *after(const char *command, const char *body, uint32_t size) {
    uint32_t i = 0;
    while (command[i] && i < size && body[i] == command[i]) {
        i++;
    }
    return !command[i] && (i == size || body[i] == ' ') ? body + i + (i < size) : 0;
}

/* The value of a request header, found in the serialised pairs: a count, (key, value) sizes, then the texts. */
static uint32_t answer_header(const char *name, uint32_t name_size) {
    char *pairs;
    uint32_t pairs_size;
    if (proxy_get_header_map_pairs(REQUEST_HEADERS, &pairs, &pairs_size) != 0 || pairs_size < 4) {
        return PAUSE;
    }
    const uint32_t *sizes = (const uint32_t *)pairs;
    uint32_t count = *sizes++;
    const char *text = pairs + 4 + 8 * count;
    for (uint32_t i = 0; i < count; i++, sizes += 2) {
        const char *value = text + sizes[0] + 1;
        if (sizes[0] == name_size && same(text, name, name_size)) {
            return answer(value, sizes[1]);
        }
        text = value + sizes[1] + 1;
    }
    return answer("", 0);
}

EXPORT("proxy_on_request_body") uint32_t on_request_body(uint32_t context, uint32_t size, uint32_t end) {
    char *body, *data = 0;
    uint32_t body_size = 0, data_size = 0;
    proxy_set_effective_context(context);
    if (proxy_get_buffer_bytes(REQUEST_BODY, 0, size, &body, &body_size) != 0) {
        return PAUSE;
    }
    const char *body_end = body + body_size, *rest;
    if ((rest = after("state", body, body_size))) {
        uint32_t status = proxy_get_state("state_demo", 10, rest, body_end - rest, &data, &data_size);
        return status == 0 ? answer(data, data_size) : PAUSE;
    }
    if ((rest = after("invoke", body, body_size))) {
        const char *space = rest;
        while (space < body_end && *space != ' ') {
            space++;
        }
        const char *argument = space < body_end ? space + 1 : body_end;
        uint32_t status =
            proxy_invoke_service(rest, space - rest, "", 0, argument, body_end - argument, &data, &data_size);
        return status == 0 ? answer(data, data_size) : PAUSE;
    }
    if ((rest = after("foreign", body, body_size))) {
        char digit = '0' + proxy_call_foreign_function(rest, body_end - rest, "{}", 2, &data, &data_size);
        return answer(&digit, 1);
    }
    if ((rest = after("header", body, body_size))) {
        return answer_header(rest, body_end - rest);
    }
    if (after("count", body, body_size)) {
        char digit = '0' + requests % 10;
        return answer(&digit, 1);
    }
    if ((rest = after("echo", body, body_size))) {
        return answer(rest, body_end - rest);
    }
    proxy_log(ERROR, "unknown command", 15);
    return PAUSE;
}

EXPORT("proxy_on_done") uint32_t on_done(uint32_t context) { return 1; }
EXPORT("proxy_on_delete") void on_delete(uint32_t context) { proxy_log(INFO, "finished", 8); }
