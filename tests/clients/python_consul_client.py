"""The Python client python-consul, which no longer changes, against Consul's interface, through the death of a member.

Arguments: the addresses, host:port, of the members' interfaces. Prints `kill` when the first of them is to be killed, and
goes on with the others when a line comes in. Checks for itself and exits with 0 if all is as it should be.
"""

import sys
import threading
import time

import consul
import requests

ADDRESSES = [address.split(":") for address in sys.argv[1:]]
CLIENTS = [consul.Consul(host=host, port=int(port)) for host, port in ADDRESSES]
A, B, C = CLIENTS
PATIENCE_SECONDS = 60


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            found = condition()
        except consul.ConsulException:
            # There is no leader for a moment.
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


def refused(call, kind=consul.ConsulException):
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError("not refused")


def keys_and_values():
    index, missing = A.kv.get("old/absent")
    assert missing is None and int(index) > 0
    assert A.kv.put("old/a", "1", flags=7) is True and A.kv.put("old/b/ü", bytes(range(256))) is True
    found = B.kv.get("old/a")[1]
    assert found["Value"] == b"1" and found["Flags"] == 7, found
    assert C.kv.get("old/b/ü")[1]["Value"] == bytes(range(256))
    assert C.kv.get("old/", keys=True)[1] == ["old/a", "old/b/ü"]
    assert C.kv.get("old/", keys=True, separator="/")[1] == ["old/a", "old/b/"]
    assert [pair["Key"] for pair in B.kv.get("old/", recurse=True)[1]] == ["old/a", "old/b/ü"]
    assert A.kv.put("old/a", "2", cas=0) is False
    assert A.kv.put("old/a", "2", cas=found["ModifyIndex"]) is True
    assert A.kv.delete("old/a", cas=found["ModifyIndex"]) is False
    assert A.kv.delete("old/", recurse=True) is True
    assert B.kv.get("old/", recurse=True)[1] is None
    done = A.txn.put([{"KV": {"Verb": "set", "Key": "old/txn", "Value": "MQ=="}}])
    assert done["Errors"] is None and B.kv.get("old/txn")[1]["Value"] == b"1", done


def waiting():
    seen = []

    def wait():
        index, pair = B.kv.get("old/watched")
        while pair is None or pair["Value"] != b"3":
            index, pair = B.kv.get("old/watched", index=index, wait="30s")
            seen.append(pair and pair["Value"])

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    for value in [b"1", b"2", b"3"]:
        assert A.kv.put("old/watched", value) is True
        until(lambda: value in seen, f"value {value}")
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive() and sorted(set(seen)) == seen, seen


def services():
    node = A.agent.self()["Config"]["NodeName"]
    until(lambda: len(C.health.service("consul", passing=True)[1]) == len(CLIENTS), "all members are nodes")
    index = B.health.service("old-web", passing=True)[0]
    assert A.agent.service.register(
        "old-web", service_id="old-web-1", port=8080, tags=["v1"], check=consul.Check.ttl("60s")
    )
    assert A.agent.check.ttl_warn("service:old-web-1", "soon") is True
    assert B.health.service("old-web", passing=True)[1] == []
    assert A.agent.check.ttl_pass("service:old-web-1", "well") is True
    index, found = B.health.service("old-web", passing=True, tag="v1", index=index, wait="30s")
    assert [entry["Service"]["ID"] for entry in found] == ["old-web-1"] and found[0]["Node"]["Node"] == node, found
    assert [check["Output"] for check in C.health.checks("old-web")[1]] == ["well"]
    assert "old-web-1" in A.agent.services() and "service:old-web-1" in A.agent.checks()
    assert C.catalog.services()[1]["old-web"] == ["v1"]
    assert [entry["ServicePort"] for entry in C.catalog.service("old-web")[1]] == [8080]
    assert B.catalog.register("old-node", "10.0.0.9", service={"service": "old-db", "port": 5432})
    assert A.catalog.node("old-node")[1]["Services"]["old-db"]["Port"] == 5432
    assert B.catalog.deregister("old-node") is True and A.catalog.node("old-node")[1] is None
    assert A.agent.maintenance(True, "by hand") and B.health.service("old-web", passing=True)[1] == []
    assert A.agent.maintenance(False) and len(B.health.service("old-web", passing=True)[1]) == 1
    assert len(C.agent.members()) == len(C.status.peers()) == len(CLIENTS)


def sessions():
    id = A.session.create(name="old", ttl=10, lock_delay=0, behavior="delete")
    assert B.session.info(id)[1]["Behavior"] == "delete"
    assert id in [session["ID"] for session in C.session.list()[1]]
    assert A.kv.put("old/lock", "mine", acquire=id) is True
    other = B.session.create(lock_delay=0)
    assert B.kv.put("old/lock", "other", acquire=other) is False
    assert B.session.renew(id)["ID"] == id
    assert A.session.destroy(id) is True and B.kv.get("old/lock")[1] is None
    refused(lambda: A.session.renew(id), consul.NotFound)
    assert "invalid session" in refused(lambda: A.kv.put("old/lock", "x", acquire=id))
    assert B.session.destroy(other) is True


def queries_and_events():
    id = A.query.create("old-web", name="old-query", onlypassing=True)["ID"]
    for name in [id, "old-query"]:
        assert [entry["Service"]["ID"] for entry in B.query.execute(name)["Nodes"]] == ["old-web-1"]
    assert A.query.delete(id)
    assert A.event.fire("old-deploy", "payload")
    assert [event["Payload"] for event in C.event.list("old-deploy")[1]] == [b"payload"]


def death_of_a_member():
    mine = A.session.create(ttl=10, lock_delay=1)
    assert A.kv.put("old/held", "first", acquire=mine) is True
    other = B.session.create(ttl=60)
    index, held = B.kv.get("old/held")
    assert held["Session"] == mine and B.kv.put("old/held", "second", acquire=other) is False
    print("kill", flush=True)
    sys.stdin.readline()
    refused(lambda: A.kv.get("old/held"), requests.exceptions.ConnectionError)

    def given_up():
        # A wait, that the loss of the leader may end with an error.
        nonlocal index
        index, pair = B.kv.get("old/held", index=index, wait="5s")
        return "Session" not in pair

    until(given_up, "the session of a member that is dead ends")
    until(lambda: B.kv.put("old/held", "second", acquire=other), "the lock is free after the delay")
    taken = C.kv.get("old/held", consistency="consistent")[1]
    assert taken["Session"] == other and taken["LockIndex"] == 2 and taken["Value"] == b"second", taken
    assert B.session.info(mine)[1] is None
    until(lambda: C.health.service("old-web", passing=True)[1] == [], "services of a member that is dead are critical")
    assert B.agent.service.register("old-web", service_id="old-web-2", port=8081)
    assert [entry["Service"]["ID"] for entry in C.health.service("old-web", passing=True)[1]] == ["old-web-2"]


for part in [keys_and_values, waiting, services, sessions, queries_and_events, death_of_a_member]:
    part()
    print(part.__name__, "ok", flush=True)
