// A proxy-wasm filter in AssemblyScript: refuses the paths under one prefix and marks the responses.
//
// The plugin's configuration is the prefix.

import { Action, HeaderMap, addHeader, configuration, header, sendLocalResponse } from "./proxy";

export { malloc } from "./proxy";

let blocked = "/blocked";

export function proxy_abi_version_0_2_1(): void {}

export function proxy_on_configure(context: u32, size: u32): u32 {
  const prefix = configuration(size);
  if (prefix.length) blocked = prefix;
  return 1;
}

export function proxy_on_request_headers(context: u32, count: u32, end: u32): Action {
  const path = header(HeaderMap.Request, ":path").split("?")[0];
  if (path == blocked || path.startsWith(blocked + "/")) {
    sendLocalResponse(403, path + " is blocked\n");
    return Action.Pause;
  }
  return Action.Continue;
}

export function proxy_on_response_headers(context: u32, count: u32, end: u32): Action {
  addHeader(HeaderMap.Response, "x-filter", "assemblyscript");
  return Action.Continue;
}
