"""What the Python client etcd3 does with a cluster: one function for each claim.

Usage: python_client.py HOST:PORT ...  It exits with 0 if every claim holds. With --cacert, --cert and --key, each with a
file, before the addresses it speaks TLS.

With `writes` before the addresses it puts one new key after another until its input ends, and prints each key whose put
was acknowledged; the value is the key.
"""

import argparse
import queue
import sys
import threading

import etcd3
import grpc

TIMEOUT_SECONDS = 30

# Of one put, and the pause after one that failed.
PUT_TIMEOUT_SECONDS = 5
PAUSE_SECONDS = 0.05


def keys_are_written_on_one_node_and_read_on_another(clients):
    clients[0].put("py/a", "1")
    for client in clients:
        value, metadata = client.get("py/a")
        assert value == b"1", value
        assert metadata.version == 1 and metadata.create_revision == metadata.mod_revision
    value, metadata = clients[0].get("py/missing")
    assert value is None and metadata is None


def prefixes_are_listed_sorted_and_deleted(clients):
    for number in range(10):
        clients[number % len(clients)].put(f"py/list/{number}", str(9 - number))
    pairs = list(clients[0].get_prefix("py/list/", sort_order="descend", sort_target="value"))
    assert [value for value, _ in pairs] == [str(number).encode() for number in range(9, -1, -1)]
    assert clients[1].delete_prefix("py/list/").deleted == 10
    assert list(clients[2].get_prefix("py/list/")) == []


def a_transaction_takes_one_of_two_branches(clients):
    client = clients[1]
    client.put("py/txn", "old")
    for expected in (True, False):
        succeeded, responses = client.transaction(
            compare=[client.transactions.value("py/txn") == "old", client.transactions.version("py/txn") > 0],
            success=[client.transactions.put("py/txn", "new")],
            failure=[client.transactions.get("py/txn")],
        )
        assert succeeded is expected
    value, _ = responses[0][0]
    assert value == b"new", value
    assert client.replace("py/txn", "new", "newer") is True
    assert client.replace("py/txn", "new", "newest") is False
    assert client.put_if_not_exists("py/txn", "other") is False


def a_watch_brings_every_change_in_order(clients):
    events = queue.Queue()
    watch = clients[2].add_watch_callback("py/watch", lambda response: [events.put(e) for e in response.events])
    for number in range(20):
        clients[number % len(clients)].put("py/watch", str(number))
    clients[0].delete("py/watch")
    seen = [events.get(timeout=TIMEOUT_SECONDS) for _ in range(21)]
    assert [event.value for event in seen[:20]] == [str(number).encode() for number in range(20)]
    assert isinstance(seen[20], etcd3.events.DeleteEvent)
    revisions = [event.mod_revision for event in seen]
    assert revisions == sorted(set(revisions)), revisions
    clients[2].cancel_watch(watch)


def a_lease_is_refreshed_and_takes_its_keys(clients):
    lease = clients[0].lease(60)
    clients[1].put("py/leased", "1", lease=lease)
    assert clients[0].get_lease_info(lease.id).keys == [b"py/leased"]
    assert lease.refresh()[0].TTL == 60
    assert 0 < lease.remaining_ttl <= 60 and lease.granted_ttl == 60
    lease.revoke()
    assert clients[2].get("py/leased") == (None, None)


def a_lock_is_held_by_one(clients):
    with clients[0].lock("py/lock", ttl=60) as lock:
        assert lock.is_acquired()
        assert clients[1].lock("py/lock", ttl=60).acquire(timeout=0) is False
    with clients[1].lock("py/lock", ttl=60) as lock:
        assert lock.is_acquired()


def history_is_compacted(clients):
    client = clients[0]
    client.put("py/compacted", "1")
    revision = client.put("py/compacted", "2").header.revision
    client.compact(revision)
    assert client.get("py/compacted")[0] == b"2"


def members_and_status_are_told(clients):
    members = list(clients[0].members)
    assert len(members) == len(clients)
    assert len({member.id for member in members}) == len(clients)
    for client in clients:
        status = client.status()
        assert status.db_size > 0 and status.leader.id in {member.id for member in members}
    assert list(clients[0].list_alarms()) == []


def writes(clients):
    ended = threading.Event()

    def wait_for_the_end_of_the_input():
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end_of_the_input, daemon=True).start()
    number = 0
    # This client knows one address: after a failure, the next one has its turn with the next key.
    node = 0
    while not ended.is_set():
        key = f"writes/python/{number}"
        number += 1
        try:
            clients[node].put(key, key)
        except (etcd3.exceptions.Etcd3Exception, grpc.RpcError) as error:
            print(f"{key}: {error!r}", file=sys.stderr, flush=True)
            node = (node + 1) % len(clients)
            ended.wait(PAUSE_SECONDS)
        else:
            print(key, flush=True)


def clients_of(addresses, timeout, **files):
    clients = []
    for address in addresses:
        host, port = address.rsplit(":", 1)
        clients.append(etcd3.client(host=host, port=int(port), timeout=timeout, **files))
    return clients


def main(arguments):
    if arguments[0] == "writes":
        writes(clients_of(arguments[1:], PUT_TIMEOUT_SECONDS))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--cacert", dest="ca_cert")
    parser.add_argument("--cert", dest="cert_cert")
    parser.add_argument("--key", dest="cert_key")
    parser.add_argument("addresses", nargs="+")
    given = vars(parser.parse_args(arguments))
    clients = clients_of(given.pop("addresses"), TIMEOUT_SECONDS, **given)
    for claim in (
        keys_are_written_on_one_node_and_read_on_another,
        prefixes_are_listed_sorted_and_deleted,
        a_transaction_takes_one_of_two_branches,
        a_watch_brings_every_change_in_order,
        a_lease_is_refreshed_and_takes_its_keys,
        a_lock_is_held_by_one,
        history_is_compacted,
        members_and_status_are_told,
    ):
        print(claim.__name__, flush=True)
        claim(clients)
    for client in clients:
        client.close()


if __name__ == "__main__":
    main(sys.argv[1:])
