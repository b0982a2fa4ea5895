/* A proxy-wasm filter in C, with no library but proxy_wasm.h. It answers every request with its greeting. */
#include "proxy_wasm.h"

PW_ABI(0_2_1)

static pw_bytes greeting = PW_TEXT("Hello from C!\n");

PW_ON_CONFIGURE(configuration) {
    if (configuration.size) {
        greeting = configuration;
    }
    return true;
}

PW_ON_REQUEST_HEADERS(context, count, end) {
    pw_log(PW_INFO, PW_TEXT("somebody asks"));
    pw_send_local_response(200, greeting);
    return PW_PAUSE;
}
