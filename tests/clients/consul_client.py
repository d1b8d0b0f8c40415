"""The Python client py-consul against Consul's interface: keys, sessions, transactions, events, status.

Arguments: the addresses, host:port, of the members' interfaces. Checks for itself and exits with 0 if all is as it should be.
"""

import sys
import threading
import time

import consul

ADDRESSES = [address.split(":") for address in sys.argv[1:]]
CLIENTS = [consul.Consul(host=host, port=int(port)) for host, port in ADDRESSES]
A, B, C = (CLIENTS * 3)[:3]
PATIENCE_SECONDS = 60


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


def keys_and_values():
    index, missing = A.kv.get("absent")
    assert missing is None and int(index) > 0
    assert A.kv.put("foo", "bar", flags=10) is True
    # Another member answers with what was acknowledged here.
    index, found = B.kv.get("foo")
    assert found["Value"] == b"bar" and found["Flags"] == 10, found
    assert int(index) == found["ModifyIndex"]
    assert set(found) == {"LockIndex", "Key", "Flags", "Value", "CreateIndex", "ModifyIndex"}, found
    assert A.kv.put("foo", "bar", flags=10) is True
    assert C.kv.get("foo")[1] == found, "a write of what is there changes nothing"
    assert A.kv.put("empty", "") is True
    assert A.kv.get("empty")[1]["Value"] is None
    binary = bytes(range(256))
    assert A.kv.put("dir/a b/ü", binary) is True
    assert B.kv.get("dir/a b/ü")[1]["Value"] == binary
    assert A.kv.put("dir/c", "c") is True
    names = B.kv.get("dir/", keys=True)[1]
    assert names == ["dir/a b/ü", "dir/c"], names
    assert B.kv.get("dir/", keys=True, separator="/")[1] == ["dir/a b/", "dir/c"]
    assert [pair["Key"] for pair in C.kv.get("dir/", recurse=True)[1]] == names
    assert A.kv.get("none/", recurse=True)[1] is None
    assert A.kv.put("foo", "x", cas=1) is False
    assert A.kv.put("foo", "x", cas=found["ModifyIndex"]) is True
    assert A.kv.put("new", "x", cas=0) is True and A.kv.put("new", "x", cas=0) is False
    assert A.kv.delete("new", cas=1) is False
    assert A.kv.delete("dir/", recurse=True) is True
    assert B.kv.get("dir/", recurse=True)[1] is None
    for consistency in ["default", "consistent", "stale"]:
        assert consul.Consul(*ADDRESSES[0], consistency=consistency).kv.get("foo")[1]["Value"] == b"x"


def waiting():
    index, _ = A.kv.get("watched/", recurse=True)
    seen = []

    def wait():
        after = index
        while len(seen) < 3:
            after, pairs = B.kv.get("watched/", recurse=True, index=after, wait="30s")
            seen.append([pair["Key"] for pair in pairs or []])

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert A.kv.put("other", "x") is True
    for number, step in enumerate(
        [lambda: A.kv.put("watched/a", "1"), lambda: C.kv.put("watched/b", "1"), lambda: A.kv.delete("watched/a")]
    ):
        assert step() is True
        until(lambda: len(seen) > number, f"change {number}")
    thread.join(PATIENCE_SECONDS)
    assert seen == [["watched/a"], ["watched/a", "watched/b"], ["watched/b"]], seen
    index, _ = A.kv.get("watched/b")
    began = time.monotonic()
    again, found = A.kv.get("watched/b", index=index, wait="1s")
    assert again == index and found is not None and time.monotonic() - began >= 1


def sessions():
    name = "session test"
    id = A.session.create(name=name, ttl=10, lock_delay=0, behavior="release")
    index, found = B.session.info(id)
    assert found["Name"] == name and found["TTL"] == "10s" and found["LockDelay"] == 0, found
    assert id in [session["ID"] for session in C.session.list()[1]]
    assert id in [session["ID"] for session in C.session.node(found["Node"])[1]]
    assert A.kv.put("lock", "mine", acquire=id) is True
    other = B.session.create(lock_delay=0, behavior="delete")
    assert B.kv.put("lock", "other", acquire=other) is False
    holder = C.kv.get("lock")[1]
    assert holder["Session"] == id and holder["LockIndex"] == 1, holder
    assert B.session.renew(id)["ID"] == id
    assert A.kv.put("lock", "free", release=id) is True
    assert "Session" not in A.kv.get("lock")[1]
    assert B.kv.put("lock", "other", acquire=other) is True
    assert A.session.destroy(other) is True
    assert A.kv.get("lock")[1] is None, "the session deletes what it held"
    assert A.session.destroy(id) is True and A.session.destroy(id) is True
    assert A.session.info(id)[1] is None
    try:
        A.session.renew(id)
        raise AssertionError("a session that is gone is not renewed")
    except consul.NotFound:
        pass
    try:
        A.kv.put("lock", "x", acquire="00000000-0000-0000-0000-000000000000")
        raise AssertionError("an unknown session is refused")
    except consul.ConsulException as error:
        assert "invalid session" in str(error), error


def transactions():
    encoded = "djE="
    done = A.txn.put(
        [
            {"KV": {"Verb": "set", "Key": "txn/a", "Value": encoded}},
            {"KV": {"Verb": "get", "Key": "txn/a"}},
        ]
    )
    assert done["Errors"] is None, done
    written, read = (result["KV"] for result in done["Results"])
    assert written["Value"] is None and read["Value"] == encoded, done
    assert written["ModifyIndex"] == B.kv.get("txn/a")[1]["ModifyIndex"]
    try:
        A.txn.put(
            [
                {"KV": {"Verb": "get", "Key": "txn/none"}},
                {"KV": {"Verb": "set", "Key": "txn/b", "Value": encoded}},
                {"KV": {"Verb": "check-not-exists", "Key": "txn/a"}},
            ]
        )
        raise AssertionError("a transaction that fails is told")
    except consul.ConsulException as error:
        assert "409" in str(error), error
    assert A.kv.get("txn/b")[1] is None


def events():
    assert A.event.fire("deploy", "payload")
    index, listed = B.event.list("deploy")
    assert int(index) > 0
    assert [event["Payload"] for event in listed] == [b"payload"], listed
    assert B.event.list("other")[1] == []


def status():
    peers = A.status.peers()
    assert len(peers) == len(ADDRESSES) and B.status.leader() in peers, (peers, B.status.leader())


for part in [keys_and_values, waiting, sessions, transactions, events, status]:
    part()
    print(part.__name__, "ok")
