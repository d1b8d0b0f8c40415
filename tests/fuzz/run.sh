#!/bin/bash
# Fuzzes the decoders, FUZZ_SECONDS each (60), FUZZ_JOBS at a time (2). Arguments: names of targets; none: all of them.
# What was found interesting is kept in the target directory, so that the next run goes on from there.
set -euo pipefail
cd "$(dirname "$0")"

export seconds="${FUZZ_SECONDS:-60}"
jobs="${FUZZ_JOBS:-2}"
root="$(cd ../.. && pwd)"
export folder="${CARGO_TARGET_DIR:-$root/target}/fuzz"

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --version 0.13.2

# RocksDB takes longer to build than all the rest: that of the other tests is good enough, since no decoder is in it.
rocksdb=$(cargo build --manifest-path "$root/Cargo.toml" --profile test --lib --message-format=json |
    sed -n 's/.*"out_dir":"\([^"]*librocksdb-sys[^"]*\)".*/\1/p' | tail -n 1)
if [ -f "$rocksdb/librocksdb.a" ]; then
    export ROCKSDB_LIB_DIR="$rocksdb" ROCKSDB_STATIC=1
fi

# The versions that are fuzzed are those that are built into the program.
cp "$root/Cargo.lock" Cargo.lock
CARGO_TARGET_DIR="$folder" cargo fuzz build --fuzz-dir . --sanitizer none
export binaries="$folder/$(rustc -vV | sed -n 's/^host: //p')/release"

fuzz() {
    local name="$1"
    local corpus="$folder/corpus/$name" artifacts="$folder/artifacts/$name/" log="$folder/$name.log"
    mkdir -p "$corpus" "$artifacts"
    STEAD_FUZZ_SEEDS="$corpus" "$binaries/$name" >"$log" 2>&1 || { cat "$log"; return 1; }
    # The stack of a thread that serves requests.
    ulimit -s 2048 -c 0
    # A backtrace of so large a program can take longer than an input may.
    if ! RUST_BACKTRACE=0 "$binaries/$name" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$artifacts" "$corpus" >"$log" 2>&1; then
        tail -n 40 "$log"
        local input
        input=$(ls -t -d "$artifacts"* | head -n 1)
        if [ -n "$input" ]; then
            RUST_BACKTRACE=1 "$binaries/$name" -timeout=60 "$input" 2>&1 | head -n 150 || true
            base64 -w 0 "$input" | head -c 4000 && echo
        fi
        printf 'fuzz: %s FAILED; try it again with: %s %s\n' "$name" "$binaries/$name" "$input"
        return 1
    fi
    printf 'fuzz: %-12s %s executions a second\n' "$name" \
        "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")"
}
export -f fuzz

if [ $# -eq 0 ]; then
    set -- targets/*.rs
fi
printf '%s\n' "$@" | sed 's,^targets/,,; s,\.rs$,,' | xargs -P "$jobs" -I{} bash -c 'fuzz {}'
