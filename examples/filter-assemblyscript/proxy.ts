// The few proxy-wasm host functions that filter.ts uses, with AssemblyScript's strings around them.
//
// Belongs here: imports, memory, `malloc`, `abort`. Does not: anything that a filter decides.

@external("env", "proxy_log")
declare function proxy_log(level: u32, text: usize, size: usize): u32;
@external("env", "proxy_get_buffer_bytes")
declare function proxy_get_buffer_bytes(buffer: u32, start: u32, most: u32, data: usize, size: usize): u32;
@external("env", "proxy_get_header_map_value")
declare function proxy_get_header_map_value(map: u32, key: usize, keySize: usize, data: usize, size: usize): u32;
@external("env", "proxy_add_header_map_value")
declare function proxy_add_header_map_value(map: u32, key: usize, keySize: usize, value: usize, size: usize): u32;
@external("env", "proxy_send_local_response")
declare function proxy_send_local_response(
  status: u32, detail: usize, detailSize: usize, body: usize, bodySize: usize,
  headers: usize, headersSize: usize, grpcStatus: i32): u32;

export const enum Action { Continue = 0, Pause = 1 }
export const enum HeaderMap { Request = 0, Response = 2 }
export const enum Level { Info = 2, Error = 4 }
const PLUGIN_CONFIGURATION: u32 = 7;

// Where the host writes the address and the size of what it hands over.
const handed = memory.data(8);

/** Memory for what the host hands over; `taken` frees it. */
export function malloc(size: usize): usize {
  return heap.alloc(size);
}

function taken(status: u32): string {
  if (status != 0) return "";
  const data = load<usize>(handed), size = load<usize>(handed, sizeof<usize>());
  const text = String.UTF8.decodeUnsafe(data, size);
  heap.free(data);
  return text;
}

/** The plugin's configuration, as text. */
export function configuration(size: u32): string {
  return size ? taken(proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, handed, handed + sizeof<usize>())) : "";
}

/** A header's value, empty where there is none. */
export function header(map: HeaderMap, key: string): string {
  const name = String.UTF8.encode(key);
  return taken(proxy_get_header_map_value(
    map, changetype<usize>(name), name.byteLength, handed, handed + sizeof<usize>()));
}

/** Adds a header. */
export function addHeader(map: HeaderMap, key: string, value: string): void {
  const name = String.UTF8.encode(key), text = String.UTF8.encode(value);
  proxy_add_header_map_value(map, changetype<usize>(name), name.byteLength, changetype<usize>(text), text.byteLength);
}

/** Answers the request here and now; return Action.Pause afterwards. */
export function sendLocalResponse(status: u32, body: string): void {
  const text = String.UTF8.encode(body);
  proxy_send_local_response(status, 0, 0, changetype<usize>(text), text.byteLength, 0, 0, -1);
}

/** Writes a line to the plugin's log. */
export function log(level: Level, line: string): void {
  const text = String.UTF8.encode(line);
  proxy_log(level, changetype<usize>(text), text.byteLength);
}

/** Where AssemblyScript's runtime ends up when something is wrong (`asc --use abort=`). */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  log(Level.Error, (file ? file : "?") + ":" + line.toString() + ": " + (message ? message : "aborted"));
  unreachable();
}
