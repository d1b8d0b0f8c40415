# The words of the scripts beside this file, which bash reads before each step.
#
# `root get a`, `alice get a` and `as alice:wrong get a` run etcdctl with a name and a password; `certificate get a` shows
# the certificate of alice and nothing else. Each says with which code it ended, if that is not 0. What etcdctl says on
# its error output comes with the rest, in order.
exec 2>&1

root() { as "root:$ROOT_PASSWORD" "$@"; }
alice() { as "alice:$ALICE_PASSWORD" "$@"; }
certificate() { as '' "$@"; }

as() {
    local user=$1 options=() code
    shift
    # The harness looks here for every command and flag of etcdctl.
    printf '%s\n' "${user%%:*} $*" >>"$CALLS"
    [ -z "$user" ] || options=(--user "$user")
    [ -z "${FORMAT-}" ] || options+=(-w "$FORMAT")
    if [ "${IN_BACKGROUND-}" ]; then
        exec etcdctl "${options[@]}" "$@"
    elif [ "${FORMAT-}" = protobuf ]; then
        etcdctl "${options[@]}" "$@" | decoded
        code=${PIPESTATUS[0]}
    else
        etcdctl "${options[@]}" "$@"
        code=$?
    fi
    [ "$code" -eq 0 ] || echo "exit $code"
    return "$code"
}

# formats root get a: in every format.
formats() {
    local FORMAT
    for FORMAT in simple json fields table protobuf; do
        echo "-w $FORMAT"
        "$@"
    done
}

# A message as its fields, without the term in the header, whose fields may be those of the message.
decoded() {
    protoc --decode_raw | sed -E '/^1 \{/,/^\}/ s/^  4: [0-9]+$/  4: <number>/
        1 { /^1: [0-9]{13,}$/ { :header; n; s/^4: [0-9]+$/4: <number>/; b header } }'
}

# background FILE root elect e: runs what does not end by itself; its process is in $process, what it says in a file.
background() {
    local file=$1 IN_BACKGROUND=yes
    shift
    # What another has said there is gone before anybody looks.
    : >"$file"
    # A process in the background has no input, unless it is given some.
    { "$@" >"$file" 2>&1 <&3 & } 3<&0
    process=$!
}

# first 3 root watch a: the first lines of what does not end by itself.
first() {
    local count=$1
    shift
    background first "$@"
    until_is '[ "$(grep -vc "^{\"level\"" first)" -ge "$count" ]'
    end "$process"
    grep -v '^{"level"' first | head -n "$count"
}

# Ends what runs in the background.
end() {
    kill "$1"
    wait "$1"
} 2>/dev/null

# Waits until a condition holds, half a minute at most.
until_is() {
    local end=$((SECONDS + 30))
    until eval "$1" >/dev/null; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "never: $1"
            return 1
        fi
        sleep 0.1
    done
}

# Lines whose order says nothing, such as those about members, which come in the order of their ids: the harness sorts
# them when it has taken the ids out.
unordered() { echo '<unordered>' && cat && echo '</unordered>'; }

# The same of a line of JSON.
parts() { tr '{}' '\n\n' | sed 's/^,//; s/,$//' | grep '[^ ]' | unordered; }

# one root snapshot save: with one endpoint.
one() { ETCDCTL_ENDPOINTS=${ETCDCTL_ENDPOINTS%%,*} "$@"; }

# asking true root member promote: with the endpoint of the member that leads, or with one that does not.
asking() {
    local leads=$1
    shift
    ETCDCTL_ENDPOINTS=$(endpoint_status | awk -F ', ' -v leads="$leads" '$5 == leads { print $1; exit }') "$@"
}

# Every member has applied what was acknowledged before.
settled() {
    local ETCDCTL_ENDPOINTS endpoints=${ETCDCTL_ENDPOINTS//,/ }
    for ETCDCTL_ENDPOINTS in $endpoints; do root get a >/dev/null; done
}

# changing root member add: as soon as the members have been connected for as long as an etcd wants. An etcd that is
# changed drops another change.
changing() {
    local ETCDCTL_COMMAND_TIMEOUT=5s end=$((SECONDS + 30))
    until
        "$@" >changed
        ! grep -Eq 'unhealthy cluster|deadline exceeded' changed || [ "$SECONDS" -ge "$end" ]
    do
        sleep 0.5
    done
    cat changed
}

# What `lease timetolive` says without the time that is left, and two keys in one order: etcd tells them in any.
timeless() { sed -E 's/remaining\([0-9]+s\)/remaining(<time>)/; s/"ttl":[0-9]+/"ttl":<time>/; s/^"TTL" : [0-9]+/"TTL" : <time>/; s/\[b1 a1\]/[a1 b1]/'; }

# The id of a member that does not lead, and of the one that does.
follower() { endpoint_status | awk -F ', ' '$5 == "false" { print $2; exit }'; }
leader() { endpoint_status | awk -F ', ' '$5 == "true" { print $2; exit }'; }
endpoint_status() { FORMAT='' CALLS=/dev/null root endpoint status; }
