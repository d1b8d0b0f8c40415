# make run     a local cluster of three nodes, on a fresh Debian or Ubuntu too
# make test    everything that .ci/run checks
# make bench   the comparison with etcd
# make jepsen  half an hour of faults
# make fuzz    garbage for every decoder

SHELL := /bin/bash
PATH := $(HOME)/.cargo/bin:$(PATH)
export PATH

# Of each of the five workloads.
JEPSEN_SECONDS ?= 12

.PHONY: run test bench jepsen fuzz tools clients

run: tools
	cargo run --bin stead -- dev

# What a build needs and a fresh machine may not have.
tools:
	@.ci/tools

# Other people's clients and a real etcd, for the tests.
clients: tools
	@tests/clients/setup.sh

# Twelve seconds for each decoder. Those with processes one at a time: many start a cluster, or two, on the same few processors.
test: export FUZZ_SECONDS ?= 12
test: clients
	cargo fmt --check
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
	cargo test --lib
	RUST_TEST_THREADS=1 cargo test --bins --test '*'
	cargo test --doc
	cargo test --test jepsen -- run --workload all --nemesis mixed --seconds $(JEPSEN_SECONDS)
	cargo test --test jepsen -- catch --seconds 20
	tests/fuzz/run.sh

bench: clients
	cargo bench --profile dev --bench cluster

jepsen: clients
	cargo test --test jepsen -- run --workload all --nemesis mixed --seconds 360

fuzz: tools
	tests/fuzz/run.sh
