# Every command of daily work. `make` alone lists them.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
WEIR := $(TARGET)/release/weir
# The tests that send packets, and so depend on the datapath.
KERNEL_TESTS := wiring conntrack truth_table rewire handover

.DEFAULT_GOAL := help
.PHONY: help setup build deb demo test test-kernel test-neutron check format lint doc deny bench ci

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

setup: ## Install the Debian packages that are missing
	@scripts/setup

deb: build ## Make a Debian package of the release
	@scripts/deb $(WEIR) $(TARGET)/release

build: setup ## Build the release
	$(CARGO) build --release --locked --package weir-cli

demo: build ## Show the main job; HOSTS=3 TYPE=vxlan on several hosts, KEEP=1 leaves it running, DEMO_ARGS=... is passed on
	$(WEIR) demo $(if $(HOSTS),--hosts $(HOSTS)) $(if $(TYPE),--type $(TYPE)) \
		$(if $(KEEP),--keep) $(DEMO_ARGS)

test: setup ## Run every test
	$(CARGO) test --workspace --locked --no-fail-fast

test-kernel: setup ## Run the tests with packets on the kernel datapath, in a virtual machine
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$(CURDIR)/scripts/kernel-vm \
		$(CARGO) test --workspace --locked --no-fail-fast $(addprefix --test ,$(KERNEL_TESTS))

test-neutron: setup ## Run the tests with a real Neutron, which is installed under the target directory
	@scripts/neutron >/dev/null
	@scripts/neutron-2024.1 >/dev/null
	$(CARGO) test --package weir-cli --locked --test neutron

check: format lint doc ## Format, lints and documentation, without running anything

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets --locked -- --deny warnings
	$(CARGO) clippy --package weir-cli --test neutron --locked -- --deny warnings

doc:
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --locked

deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --locked check; \
	else \
		echo "cargo-deny is not installed: left out"; \
	fi

bench: build ## Measure the scale scenario; BENCH_ARGS=... is passed on
	$(WEIR) bench scale --ports 400 --rules 1000 $(BENCH_ARGS)

ci: ## What CI runs
	@.ci/run
