# SPDX-License-Identifier: MPL-2.0
# The only task runner. Bare `make` lists the tasks.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup packages packages-test python python-dev build models demo test bench lint schema test-rust test-python check-core install sbom audit clean prove soak fuzz simulate uninstall deb image docs picture races run-rust run-python

PREFIX ?= /usr/local
# Empty = PREFIX/lib/ARCHITECTURE/gstreamer-1.0.
PLUGIN_DIR ?=
VENV = models/.venv
PYTHON = $(VENV)/bin/python

# What the demo looks at: rtsp://..., a clip, or nothing for a drawn room through which somebody walks.
SOURCE ?=
# Where models are; empty = the one that comes with Orion.
MODEL_DIR ?=
# How long; empty = until Ctrl-C.
DEMO_SECONDS ?=

# Where GStreamer is 1.24 or newer and its development files are installed, detections go into its analytics metas too; empty = not.
ANALYTICS ?= $(shell pkg-config --atleast-version=1.24 gstreamer-analytics-1.0 2>/dev/null && echo --features gst-orion/v1_24)

help: ## list the tasks
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

packages:
	@sh tools/install_packages.sh
	@sh tools/check_rust.sh

# A browser is only for the tests of the live page: 113 MB to download, so nobody else gets it.
packages-test: packages
	@sh tools/install_packages.sh chromium

python: packages
	@sh models/setup_env.sh

python-dev: packages
	@sh models/setup_env.sh --dev

setup: packages python ## install what building and running need (Debian packages, Python environment)

build: packages ## build the plugin (target/plugins), the daemon and the test camera
	cargo build --release --workspace --locked $(ANALYTICS)
	@mkdir -p target/plugins
	@ln -sf ../release/libgstorion.so target/plugins/libgstorion.so

models: packages ## download YOLOX-Nano, a better person model, into models/weights (MODELS="..." for others)
	@sh models/download_models.sh $(MODELS)

demo: setup build ## watch a camera: SOURCE=rtsp://...|clip.mp4 MODEL_DIR=... DEMO_SECONDS=20
	@target/release/orion-launch demo $(if $(SOURCE),--source '$(SOURCE)') $(if $(MODEL_DIR),--model-dir '$(MODEL_DIR)') \
		$(if $(DEMO_SECONDS),--seconds '$(DEMO_SECONDS)')

test: lint packages-test ## run every check and every test
	cargo build --workspace --locked --quiet $(ANALYTICS)
	cargo test --workspace --locked --quiet $(ANALYTICS) --no-run
	@# Nothing is compiled while tests measure time, and no program is replaced while it runs.
	@$(MAKE) --no-print-directory --jobs 2 run-rust run-python

lint: python-dev check-core
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet $(ANALYTICS) -- -D warnings
	$(VENV)/bin/ruff check models tests fuzz ops
	$(VENV)/bin/ruff format --check models tests fuzz ops
	@if command -v cargo-deny >/dev/null 2>&1; then cargo deny --offline --log-level error check bans licenses sources; \
		else echo "cargo-deny is not installed; licences and sources of the dependencies are not checked here"; fi

# The direction of the dependencies: the logic knows neither GStreamer nor an async runtime.
check-core: packages
	@if cargo tree --locked -p orion-core -e normal --prefix none | grep -E '^(gstreamer|glib|tokio)'; then \
		echo "orion-core must not depend on these"; exit 1; fi

schema: packages ## write the schemas anew from the Rust types (gst-orion/core/schema, pipelines/orion.schema.json)
	ORION_WRITE_SCHEMA=1 cargo test --locked --quiet --package orion-core --test contract
	ORION_WRITE_SCHEMA=1 cargo test --locked --quiet --package orion-launch --bins config::schema

docs: schema ## write what of the documentation is made from the code (docs/reference)
	ORION_WRITE_DOCS=1 cargo test --locked --quiet --package gst-orion --test reference

picture: python-dev packages-test build ## take the picture of the live page in the README anew
	ORION_BUILT=target/release $(PYTHON) tests/docs/picture.py docs/live-page.png

test-rust: python ## run the tests in Rust
	cargo build --workspace --locked --quiet $(ANALYTICS)
	@$(MAKE) --no-print-directory run-rust

test-python: python-dev packages-test ## run the tests in Python
	cargo build --workspace --locked --quiet $(ANALYTICS)
	@$(MAKE) --no-print-directory run-python

run-rust:
	@# No warning of GLib and GStreamer is let pass, and no element, pad or buffer may be left when a test file ends.
	G_DEBUG=fatal-warnings GST_TRACERS=leaks cargo test --workspace --locked --quiet $(ANALYTICS)

run-python:
	@# At once: most of them wait most of the time.
	@$(PYTHON) -m pytest -q --numprocesses 2 --dist loadfile tests/e2e & whole=$$!; \
		$(PYTHON) -m pytest -q tests --ignore tests/e2e; parts=$$?; \
		wait $$whole && exit $$parts

# WRITE=1: soak, fuzz and races put their tables into RELIABILITY.md, simulate into docs/fleet.md.
WRITE ?=

# How often each fault is played.
ROUNDS ?= 3

prove: python-dev packages-test build ## play all faults, ROUNDS times each, and write RELIABILITY.md
	ORION_BUILT=target/release $(PYTHON) tests/faults/run.py --repeat $(ROUNDS) --write RELIABILITY.md

# Where the benchmarks find models and photos, which are not part of this repository.
DATA ?= ../shared/data

# QUICK=1: shorter runs. ONLY="rate-640 idle": some of it. ALL=1: also longer reports of attention, transport, swaps, publishing, page.
QUICK ?=
ONLY ?=
ALL ?=

bench: python-dev build ## measure ours against partners: one table, and BENCHMARKS.md (DATA=folder with models, photos, clips; QUICK=1, ONLY="names", ALL=1)
	$(PYTHON) tests/bench/run.py --data '$(DATA)' $(if $(QUICK),--quick) $(if $(ALL),--all) $(if $(ONLY),--only $(ONLY))

# How long, in hours and parts of one; seconds from one fault to the next, about; where the report goes.
HOURS ?= 1
FAULT_EVERY ?= 60
SOAK_OUT ?= target/soak/$(shell date -u +%Y%m%d-%H%M%S)

soak: python-dev build ## let all of it run for HOURS=1 with a fault every FAULT_EVERY=60 s; fails when anything grows or is lost without a cause (DATA as in bench)
	ORION_BUILT=$(abspath target/release) $(PYTHON) tests/soak/soak.py --hours '$(HOURS)' --fault-every '$(FAULT_EVERY)' --data '$(DATA)' --out '$(SOAK_OUT)' $(if $(WRITE),--write RELIABILITY.md)

# How many daemons, one fleet of each size; results a second of each; how long the broker is away in between, 0 = not.
INSTANCES ?= 1000
RATE ?= 1
OUTAGE ?= 5

simulate: python-dev ## play fleets of daemons (no video) against one broker: INSTANCES="10 100 1000" SECONDS=60 RATE=1 OUTAGE=5; WRITE=1 puts the table into docs/fleet.md
	$(PYTHON) ops/fleet/simulate.py --instances $(INSTANCES) --seconds '$(SECONDS)' --rate '$(RATE)' --outage '$(OUTAGE)' $(if $(WRITE),--write docs/fleet.md)

# For each target; TARGET= as `make fuzz` lists them, such as command or python/jpeg.
SECONDS ?= 60
TARGET ?=
# So many at the same time.
JOBS ?= 1

fuzz: packages ## feed hostile input to all that reads: SECONDS=60 for each target, TARGET=command for one of them (needs a nightly Rust)
	@rustup run nightly rustc --version >/dev/null 2>&1 || \
		{ echo "fuzzing needs a nightly compiler: rustup toolchain install nightly --profile minimal" >&2; exit 1; }
	@test -x target/cargo-fuzz/bin/cargo-fuzz || cargo install --quiet --locked cargo-fuzz --root target/cargo-fuzz
	@sh fuzz/python/setup.sh target/fuzz-venv
	@$(if $(filter python/%,$(TARGET)),:,PATH="$(CURDIR)/target/cargo-fuzz/bin:$$PATH" cargo +nightly fuzz build --target-dir target/fuzz $(TARGET))
	@target/fuzz-venv/bin/python fuzz/run.py --seconds '$(SECONDS)' --jobs '$(JOBS)' $(if $(TARGET),--target '$(TARGET)') $(if $(WRITE),--write RELIABILITY.md)

# Steps for each element and seed; how many seeds, from which on (SEED= as a failure names it).
STEPS ?= 1000
SEEDS ?= 5
SEED ?= 1

races: python-dev ## change each element STEPS=1000 times at random while frames flow, SEEDS=5 times, and walk through all orders of events of the logic
	@$(PYTHON) tests/races/run.py --steps '$(STEPS)' --seeds '$(SEEDS)' --seed '$(SEED)' $(if $(WRITE),--write RELIABILITY.md)

# Where the release build is.
BUILT = $(or $(CARGO_TARGET_DIR),target)/release
INSTALL = @PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' PLUGIN_DIR='$(PLUGIN_DIR)' BUILT='$(BUILT)' sh tools/install.sh

install: ## install what `make build` has built under PREFIX (DESTDIR is respected)
	$(INSTALL) install

uninstall: ## remove what `make install` has installed under PREFIX
	$(INSTALL) uninstall

deb: packages ## build the Debian packages gstreamer1.0-orion and orion-launch into target/deb
	@sh tools/install_packages.sh debhelper dh-python lintian
	@sh tools/deb.sh

image: ## build the container image orion-launch (with podman or docker)
	@engine=$$(command -v podman || command -v docker) || { echo "neither podman nor docker is installed" >&2; exit 1; }; \
		BUILDAH_FORMAT=docker "$$engine" build -f Containerfile -t orion-launch .

sbom: packages ## write what is in the box to target/sbom (CycloneDX)
	@sh tools/sbom.sh

audit: packages ## ask the public data whether a dependency is known to be weak (needs the network)
	@sh tools/audit.sh

clean: ## remove what was built
	cargo clean
	rm -rf $(VENV)
