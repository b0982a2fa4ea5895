# HTTP components. The C one is committed beside its source; those with a whole language in them are too large.
#
#   make component-c     rebuild the committed components: the example, and the one that the tests use
#   make components      build the others into .cache/components, where tests and benchmarks look for them
#
# Needs, in .venv, what the extra `components` of pyproject.toml names; for JavaScript, Node 20 and npm.

COMPONENTS_PYTHON ?= $(CURDIR)/.venv/bin/python
COMPONENTS_CACHE := .cache/components
COMPONENTS_WIT := $(shell $(COMPONENTS_PYTHON) -c 'import spin_sdk as s, pathlib as p; print(p.Path(s.__file__).parent / "wit/deps")' 2>/dev/null)
COMPONENTS_PACKAGES := http io clocks random cli filesystem sockets

.PHONY: component-c components

component-c: ## rebuild the committed HTTP components
	PYTHON=$(COMPONENTS_PYTHON) examples/components/c/build.sh examples/components/c/echo.c examples/components/c/echo.wasm
	PYTHON=$(COMPONENTS_PYTHON) examples/components/c/build.sh tests/wasi_http/guests/probe.c tests/wasi_http/guests/probe.wasm
	PYTHON=$(COMPONENTS_PYTHON) examples/components/c/build.sh tests/wasi_http/guests/light.c tests/wasi_http/guests/light.wasm
	PYTHON=$(COMPONENTS_PYTHON) reconciler/wasm/http_adapter/source/build.sh reconciler/wasm/http_adapter/adapter.wasm
	PYTHON=$(COMPONENTS_PYTHON) examples/components/c/build.sh examples/components/command/shout.c examples/components/command/shout.wasm

components: $(COMPONENTS_CACHE)/python.wasm $(COMPONENTS_CACHE)/javascript.wasm ## build the HTTP components in Python and JavaScript

$(COMPONENTS_CACHE)/wit-0.2.0 $(COMPONENTS_CACHE)/wit-0.2.10: $(COMPONENTS_CACHE)/wit-%:
	rm -rf $@ && mkdir -p $@/deps
	@# SpiderMonkey wants 0.2.10, which adds nothing to what 0.2.6 has of these interfaces but its number.
	@for package in $(COMPONENTS_PACKAGES); do \
	  from=$(if $(filter 0.2.0,$*),0.2.0,0.2.6); cp -r "$(COMPONENTS_WIT)/$$package@$$from" "$@/deps/$$package" && \
	  sed -i "s/0\.2\.6/$*/g" $@/deps/$$package/*.wit || exit 1; done
	printf 'package example:http;\n\nworld handler {\n  include wasi:http/proxy@$*;\n}\n' > $@/world.wit

$(COMPONENTS_CACHE)/python.wasm: examples/components/python/app.py | $(COMPONENTS_CACHE)/wit-0.2.0
	$(dir $(COMPONENTS_PYTHON))componentize-py -d $(COMPONENTS_CACHE)/wit-0.2.0 -w handler componentize -p examples/components/python app -o $@

$(COMPONENTS_CACHE)/node_modules: examples/components/javascript/package.json
	cp $< $(COMPONENTS_CACHE)/package.json && cp examples/components/javascript/build.mjs $(COMPONENTS_CACHE)/
	cd $(COMPONENTS_CACHE) && npm install --no-audit --no-fund
	@touch $@

$(COMPONENTS_CACHE)/javascript.wasm: examples/components/javascript/app.js $(COMPONENTS_CACHE)/node_modules | $(COMPONENTS_CACHE)/wit-0.2.10
	cd $(COMPONENTS_CACHE) && node build.mjs $(CURDIR)/$< wit-0.2.10 javascript.wasm
