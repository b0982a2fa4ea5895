#!/bin/sh
# Installs the daemon into a directory of its own, as the image has it: image/build.sh SOURCE TARGET [PYTHON]
#
# The Dockerfile runs this, and so does a test, so that what is tested is what is shipped.
set -eu
source=$1 target=$2 python=${3:-python3}

"$python" -m venv "$target"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$source"
"$target/bin/python" -m pip uninstall --quiet --yes setuptools pip
{ printf '#!%s/bin/python -IS\n' "$target"; cat "$source/image/probe.py"; } > "$target/bin/probe"
chmod 755 "$target/bin/probe"
"$target/bin/python" -m compileall -q "$target"
