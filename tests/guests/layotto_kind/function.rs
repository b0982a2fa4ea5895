//! A function as Layotto's Rust demo modules are made: Rust's own allocator behind `malloc` (so the guest frees
//! what the host handed over), contexts in a map, `_start`, and a panic when root context 1 is created twice.
//!
//! The request's body is a key; the answer is its value in the state store `state_demo`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr::null_mut;

const ID: &[u8] = b"id_rust";
const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CALL_DATA: u32 = 8;
const OK: u32 = 0;
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;
const ERROR: u32 = 4;

#[link(wasm_import_module = "env")]
extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, most: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, length: usize, data: *const u8, size: usize) -> u32;
    fn proxy_get_state(
        store: *const u8,
        store_size: usize,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
}

thread_local! {
    /// Context to parent; 0 is the parent of a root.
    static CONTEXTS: RefCell<HashMap<u32, u32>> = RefCell::new(HashMap::new());
}

/// Takes what the host put into memory of `malloc`, so that it is freed here.
fn taken(status: u32, data: *mut u8, size: usize) -> Option<Vec<u8>> {
    match (status, data.is_null()) {
        (OK, true) => Some(Vec::new()),
        (OK, false) => Some(unsafe { Vec::from_raw_parts(data, size, size) }),
        _ => None,
    }
}

fn request_body(size: usize) -> Option<Vec<u8>> {
    let (mut data, mut found) = (null_mut(), 0);
    let status = unsafe { proxy_get_buffer_bytes(REQUEST_BODY, 0, size, &mut data, &mut found) };
    taken(status, data, found)
}

fn state(store: &str, key: &[u8]) -> Option<Vec<u8>> {
    let (mut data, mut found) = (null_mut(), 0);
    let status = unsafe {
        proxy_get_state(store.as_ptr(), store.len(), key.as_ptr(), key.len(), &mut data, &mut found)
    };
    taken(status, data, found)
}

fn log_error(text: &str) {
    unsafe { proxy_log(ERROR, text.as_ptr(), text.len()) };
}

#[no_mangle]
pub extern "C" fn malloc(size: usize) -> *mut u8 {
    let mut block = std::mem::ManuallyDrop::new(Vec::<u8>::with_capacity(size));
    block.as_mut_ptr()
}

#[no_mangle]
pub extern "C" fn proxy_abi_version_0_2_0() {}

#[no_mangle]
pub extern "C" fn _start() {
    std::panic::set_hook(Box::new(|panic| log_error(&panic.to_string())));
}

#[no_mangle]
pub extern "C" fn proxy_get_id() {
    unsafe { proxy_set_buffer_bytes(CALL_DATA, 0, ID.len(), ID.as_ptr(), ID.len()) };
}

#[no_mangle]
pub extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    CONTEXTS.with(|contexts| {
        let before = contexts.borrow_mut().insert(context, parent);
        assert!(before.is_none(), "context {context} exists already");
    });
}

#[no_mangle]
pub extern "C" fn proxy_on_vm_start(_context: u32, _size: usize) -> u32 {
    1
}

#[no_mangle]
pub extern "C" fn proxy_on_configure(_context: u32, _size: usize) -> u32 {
    1
}

#[no_mangle]
pub extern "C" fn proxy_on_request_body(_context: u32, size: usize, _end: u32) -> u32 {
    match request_body(size).and_then(|key| state("state_demo", &key)) {
        Some(value) => {
            unsafe { proxy_set_buffer_bytes(RESPONSE_BODY, 0, value.len(), value.as_ptr(), value.len()) };
            CONTINUE
        }
        None => {
            log_error("the state store state_demo cannot be read");
            PAUSE
        }
    }
}

#[no_mangle]
pub extern "C" fn proxy_on_done(_context: u32) -> u32 {
    1
}

#[no_mangle]
pub extern "C" fn proxy_on_delete(context: u32) {
    CONTEXTS.with(|contexts| contexts.borrow_mut().remove(&context));
}
