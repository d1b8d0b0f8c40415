#!/bin/sh
# Installs what the tests need and did not write themselves: a real etcd, etcdctl, the clients for Python (with its own
# tests), Go, Node and Java, those of Consul and of Vault for Python and Go, programs that ask DNS, and what building the
# Rust client needs, with its tests.
# What is there already is left alone, so that the script can run before every test.
#
# Everything but the Debian packages goes to $STEAD_TEST_CLIENTS, by default stead-test-clients in the user's cache
# directory: tests/support/program.rs has the same rule.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
clients=${STEAD_TEST_CLIENTS:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/stead-test-clients}

say() { printf '%s\n' "setup: $*" >&2; }

install_packages() {
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1; then
        as_root=sudo
    else
        say "cannot install $*: not root, and there is no sudo. Install them, then run this again."
        exit 1
    fi
    say "installing $*"
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >&2
}

missing=
command -v etcdctl >/dev/null 2>&1 || missing="$missing etcd-client"
# The crate etcd-client compiles its protocol files with it, which import those that come with the library.
command -v protoc >/dev/null 2>&1 || missing="$missing protobuf-compiler libprotobuf-dev"
command -v dig >/dev/null 2>&1 || missing="$missing bind9-dnsutils"
command -v haproxy >/dev/null 2>&1 || missing="$missing haproxy"
command -v prometheus >/dev/null 2>&1 || missing="$missing prometheus"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
command -v go >/dev/null 2>&1 || missing="$missing golang-go"
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v javac >/dev/null 2>&1 || missing="$missing default-jdk-headless"
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing="$missing python3 python3-venv"
# The list is split into words on purpose.
# shellcheck disable=SC2086
[ -z "$missing" ] || install_packages $missing

# The versions of requirements.txt, recorded beside the environment when it is complete.
if ! cmp -s "$here/requirements.txt" "$clients/venv/requirements.txt"; then
    say "making the Python environment $clients/venv"
    mkdir -p "$clients"
    python3 -m venv --clear "$clients/venv"
    "$clients/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    # Its own tests come with its source alone.
    source=$clients/venv/etcd3-source
    mkdir "$source"
    "$clients/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary etcd3 --dest "$source" \
        "$(grep '^etcd3==' "$here/requirements.txt")"
    tar -xzf "$source"/etcd3-*.tar.gz -C "$source" --strip-components=1
    cp "$here/requirements.txt" "$clients/venv/requirements.txt"
fi

# The Python client of Consul, in an environment of its own.
if ! cmp -s "$here/consul-requirements.txt" "$clients/consul-venv/requirements.txt"; then
    say "making the Python environment $clients/consul-venv"
    python3 -m venv --clear "$clients/consul-venv"
    "$clients/consul-venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/consul-requirements.txt"
    # Its own tests come with its source alone, of which nothing else is taken.
    source=$clients/consul-venv/py-consul-source
    mkdir "$source"
    "$clients/consul-venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary py-consul \
        --dest "$source" "$(grep '^py-consul==' "$here/consul-requirements.txt")"
    tar -xzf "$source"/py_consul-*.tar.gz -C "$source" --strip-components=1 --wildcards '*/tests'
    cp "$here/consul-requirements.txt" "$clients/consul-venv/requirements.txt"
fi

# What it was made from, whose module has the same name.
if ! cmp -s "$here/python-consul-requirements.txt" "$clients/python-consul-venv/requirements.txt"; then
    say "making the Python environment $clients/python-consul-venv"
    python3 -m venv --clear "$clients/python-consul-venv"
    "$clients/python-consul-venv/bin/pip" install --quiet --disable-pip-version-check \
        -r "$here/python-consul-requirements.txt"
    cp "$here/python-consul-requirements.txt" "$clients/python-consul-venv/requirements.txt"
fi

# The Python client of Vault. The certificate with which its tests connect has run out: they get another.
if ! cmp -s "$here/hvac-requirements.txt" "$clients/hvac-venv/requirements.txt"; then
    say "making the Python environment $clients/hvac-venv"
    python3 -m venv --clear "$clients/hvac-venv"
    "$clients/hvac-venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/hvac-requirements.txt"
    # Its own tests come with its source alone, of which nothing else is taken.
    source=$clients/hvac-venv/hvac-source
    mkdir "$source"
    "$clients/hvac-venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary hvac \
        --dest "$source" "$(grep '^hvac==' "$here/hvac-requirements.txt")"
    tar -xzf "$source"/hvac-*.tar.gz -C "$source" --strip-components=1 --wildcards '*/tests'
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=client \
        -keyout "$source/tests/config_files/client-key.pem" -out "$source/tests/config_files/client-cert.pem" 2>/dev/null
    cp "$here/hvac-requirements.txt" "$clients/hvac-venv/requirements.txt"
fi
# Their audit file is in the directory that the server has for audit files.
find "$clients/hvac-venv/hvac-source/tests" -name '*.py' -exec \
    sed -i 's|"/tmp/vault\.audit\.log"|"vault.audit.log"|' {} +

# Cargo builds nothing of Go: the program is built here, when its sources are newer. It tells what it has called of the
# library, where GOCOVERDIR says so.
if [ -n "$(find "$here/go" -newer "$clients/go-client" -type f 2>/dev/null || echo missing)" ]; then
    say "building the program of the Go client"
    (cd "$here/go" && go build -cover -coverpkg=./...,go.etcd.io/etcd/client/v3/... -o "$clients/go-client" .)
    touch "$clients/go-client"
fi

# The program of Consul's Go client.
if [ -n "$(find "$here/consul_go" -newer "$clients/consul-go-client" -type f 2>/dev/null || echo missing)" ]; then
    say "building the program of Consul's Go client"
    (cd "$here/consul_go" && go build -o "$clients/consul-go-client" .)
    touch "$clients/consul-go-client"
fi

# The program of Vault's Go client.
if [ -n "$(find "$here/vault_go" -newer "$clients/vault-go-client" -type f 2>/dev/null || echo missing)" ]; then
    say "building the program of Vault's Go client"
    (cd "$here/vault_go" && go build -o "$clients/vault-go-client" .)
    touch "$clients/vault-go-client"
fi

# CoreDNS, with the plugin that reads from an etcd alone.
if [ -n "$(find "$here/coredns" -newer "$clients/coredns" -type f 2>/dev/null || echo missing)" ]; then
    say "building CoreDNS"
    (cd "$here/coredns" && go build -o "$clients/coredns" .)
    touch "$clients/coredns"
fi

# The program of the Node client looks for its packages beside itself. The lock file is recorded when they are complete.
mkdir -p "$clients/node"
if ! cmp -s "$here/node/package-lock.json" "$clients/node/installed-lock.json"; then
    say "installing the packages of the Node client"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$clients/node/"
    (cd "$clients/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null)
    cp "$here/node/package-lock.json" "$clients/node/installed-lock.json"
fi
cp "$here/node/client.mjs" "$clients/node/"

# As with Go: compiled here, when the sources are newer.
if [ -n "$(find "$here/java" -newer "$clients/java/compiled" -type f 2>/dev/null || echo missing)" ]; then
    say "building the program of the Java client"
    mvn --file "$here/java/pom.xml" --batch-mode --quiet --no-transfer-progress -Dstyle.color=never \
        -Dmaven.repo.local="$clients/maven" -Dclients="$clients/java" compiler:compile dependency:copy-dependencies >&2
    touch "$clients/java/compiled"
fi

# The tests of the Rust client come with its source; here they ask the server that TEST_ENDPOINT names. Built without what
# a debugger needs, and the folder of the build is not kept.
version=$(sed -n '/^name = "etcd-client"$/{n;s/^version = "\(.*\)"$/\1/p}' "$here/../../Cargo.lock")
if [ ! -f "$clients/rust/$version" ]; then
    say "building the tests of the Rust client"
    cargo fetch --quiet --locked --manifest-path "$here/../../Cargo.toml"
    rm -rf "$clients/rust"
    cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"etcd-client-$version" "$clients/rust"
    sed -i -e '/^use /s/DEFAULT_TEST_ENDPOINT/endpoint/' \
        -e 's/^pub const DEFAULT_TEST_ENDPOINT: .*$/pub fn endpoint() -> \&'"'static"' str { std::env::var("TEST_ENDPOINT").unwrap().leak() }/' \
        -e 's/DEFAULT_TEST_ENDPOINT/endpoint()/g' "$clients/rust/tests/"*.rs
    for name in client namespace; do
        built=$(cd "$clients/rust" && CARGO_TARGET_DIR="$clients/rust/target" CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_DEBUG=0 \
            cargo test --quiet --locked --test "$name" --no-run --message-format=json |
            sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
        cp "$built" "$clients/rust/$name"
    done
    rm -rf "$clients/rust/target"
    touch "$clients/rust/$version"
fi
