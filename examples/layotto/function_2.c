/*
 * Layotto's quick start, second function (id_2): a book's name in the body, its inventory in the answer.
 *
 * The number lies in the state store `state_demo`; a book that is not there has "no" inventories.
 */
#include "../sdk/c/proxy_wasm.h"

PW_ABI(0_2_0)
PW_FUNCTION_ID("id_2")

PW_ON_REQUEST_BODY(context, size, end) {
    pw_bytes book = pw_get_buffer(PW_REQUEST_BODY, 0, size), inventories;
    if (pw_get_state(PW_TEXT("state_demo"), book, &inventories) != PW_OK) {
        pw_log(PW_ERROR, PW_TEXT("the state store state_demo cannot be read"));
        return PW_PAUSE;
    }
    pw_set_buffer(PW_RESPONSE_BODY, inventories.size ? inventories : PW_TEXT("no"));
    return PW_CONTINUE;
}
