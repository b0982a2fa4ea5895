//! A proxy-wasm filter in Rust, nothing but the standard library: lets a request through only with the right token
//! in `authorization: Bearer TOKEN`, takes the token away from it, and marks the response.
//!
//! The plugin's configuration is the token.

use std::cell::RefCell;
use std::ptr::{null, null_mut};

const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const PLUGIN_CONFIGURATION: u32 = 7;
const OK: u32 = 0;
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;
const WARN: u32 = 3;

#[link(wasm_import_module = "env")]
extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, most: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, key: *const u8, key_size: usize, data: *const u8, size: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        detail: *const u8,
        detail_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

thread_local! {
    static TOKEN: RefCell<Vec<u8>> = RefCell::new(Vec::new());
}

/// Takes what the host put into memory of `malloc`, so that it is freed here.
fn taken(status: u32, data: *mut u8, size: usize) -> Vec<u8> {
    if status != OK || data.is_null() {
        return Vec::new();
    }
    unsafe { Vec::from_raw_parts(data, size, size) }
}

fn configuration(size: usize) -> Vec<u8> {
    let (mut data, mut found) = (null_mut(), 0);
    let status = unsafe { proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, &mut data, &mut found) };
    taken(status, data, found)
}

fn request_header(key: &str) -> Vec<u8> {
    let (mut data, mut found) = (null_mut(), 0);
    let status =
        unsafe { proxy_get_header_map_value(REQUEST_HEADERS, key.as_ptr(), key.len(), &mut data, &mut found) };
    taken(status, data, found)
}

fn send_local_response(status: u32, body: &str) {
    unsafe { proxy_send_local_response(status, null(), 0, body.as_ptr(), body.len(), null(), 0, -1) };
}

/// Compares in a time that does not tell how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (x, y)| differences | (x ^ y)) == 0
}

#[no_mangle]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for what the host hands over; each piece is freed by `taken`'s caller.
#[no_mangle]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let mut block = std::mem::ManuallyDrop::new(Vec::<u8>::with_capacity(size));
    block.as_mut_ptr()
}

#[no_mangle]
pub extern "C" fn proxy_on_configure(_context: u32, size: usize) -> u32 {
    let token = configuration(size);
    if token.is_empty() {
        let text = "no token configured: refusing to let everybody in";
        unsafe { proxy_log(WARN, text.as_ptr(), text.len()) };
        return 0;
    }
    TOKEN.with(|kept| kept.replace(token));
    1
}

#[no_mangle]
pub extern "C" fn proxy_on_request_headers(_context: u32, _count: u32, _end: u32) -> u32 {
    let given = request_header("authorization");
    let right = TOKEN.with(|token| {
        let expected = [b"Bearer ", token.borrow().as_slice()].concat();
        same(&given, &expected)
    });
    if !right {
        send_local_response(401, "a token is needed\n");
        return PAUSE;
    }
    unsafe { proxy_remove_header_map_value(REQUEST_HEADERS, "authorization".as_ptr(), "authorization".len()) };
    CONTINUE
}

#[no_mangle]
pub extern "C" fn proxy_on_response_headers(_context: u32, _count: u32, _end: u32) -> u32 {
    let (key, value) = ("x-filter", "rust");
    unsafe {
        proxy_replace_header_map_value(RESPONSE_HEADERS, key.as_ptr(), key.len(), value.as_ptr(), value.len())
    };
    CONTINUE
}
