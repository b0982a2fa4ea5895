// A proxy-wasm filter in AssemblyScript. It answers every request with its greeting.

import { Action, configuration, sendLocalResponse } from "./proxy";

export { malloc } from "./proxy";

let greeting = "Hello from AssemblyScript!\n";

export function proxy_abi_version_0_2_1(): void {}

export function proxy_on_configure(context: u32, size: u32): u32 {
  const given = configuration(size);
  if (given.length) greeting = given;
  return 1;
}

export function proxy_on_request_headers(context: u32, count: u32, end: u32): Action {
  sendLocalResponse(200, greeting);
  return Action.Pause;
}
