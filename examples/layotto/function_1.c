/*
 * Layotto's quick start, first function (id_1): "how many copies of this book are there?"
 *
 * `name=book1`, from the body or the query string, is answered by asking id_2 for the number.
 */
#include "../sdk/c/proxy_wasm.h"

PW_ABI(0_2_0)
PW_FUNCTION_ID("id_1")

/* The value of `key` in `a=1&b=2`. False where the key is missing. */
static bool query_value(pw_bytes query, pw_bytes key, pw_bytes *value) {
    uint32_t start = 0;
    while (start < query.size) {
        uint32_t end = start;
        while (end < query.size && query.data[end] != '&') {
            end++;
        }
        uint32_t equals = start;
        while (equals < end && query.data[equals] != '=') {
            equals++;
        }
        if (equals < end && pw_equal((pw_bytes){query.data + start, equals - start}, key)) {
            *value = (pw_bytes){query.data + equals + 1, end - equals - 1};
            return true;
        }
        start = end + 1;
    }
    return false;
}

PW_ON_REQUEST_BODY(context, size, end) {
    pw_bytes book, inventories;
    if (!query_value(pw_get_buffer(PW_REQUEST_BODY, 0, size), PW_TEXT("name"), &book)) {
        pw_log(PW_ERROR, PW_TEXT("no book given: say name=BOOK in the query string or the body"));
        return PW_PAUSE;
    }
    if (pw_invoke_service(PW_TEXT("id_2"), PW_NOTHING, book, &inventories) != PW_OK) {
        pw_log(PW_ERROR, PW_TEXT("id_2 did not answer"));
        return PW_PAUSE;
    }
    pw_bytes sentence[] = {PW_TEXT("There are "), inventories, PW_TEXT(" inventories for "), book, PW_TEXT(".")};
    pw_set_buffer(PW_RESPONSE_BODY, pw_concat(sentence, sizeof sentence / sizeof *sentence));
    return PW_CONTINUE;
}
