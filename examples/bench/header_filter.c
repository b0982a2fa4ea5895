/*
 * The filter that the benchmarks run here and in Envoy: reads the request body, adds a response header.
 */
#include "../sdk/c/proxy_wasm.h"

PW_ABI(0_2_1)

PW_ON_REQUEST_HEADERS(context, count, end) { return PW_CONTINUE; }

PW_ON_REQUEST_BODY(context, size, end) {
    return pw_get_buffer(PW_REQUEST_BODY, 0, size).size == size ? PW_CONTINUE : PW_PAUSE;
}

PW_ON_RESPONSE_HEADERS(context, count, end) {
    pw_add_header(PW_RESPONSE_HEADERS, PW_TEXT("x-filter"), PW_TEXT("bench"));
    return PW_CONTINUE;
}
