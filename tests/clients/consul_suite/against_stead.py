"""Starts Stead for the tests that come with the Python client of Consul: a plugin of pytest.

STEAD_BINARY is the program, STEAD_FOLDER where the nodes keep their data. The tests themselves are left as they are; what
starts Consul in containers for them is replaced by this. As there, each test gets servers of its own, with nothing in them:
three, and it asks one that does not lead. They are started while the test before runs. What counts nodes gets one alone.
"""

import collections
import ctypes
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time
import uuid

import pytest
import requests
from consul import Check

MAXIMUM_START_SECONDS = 60
PAUSE_SECONDS = 0.05
NODES = 3

# Below Linux' range for outgoing connections, so that none of them takes the port of a node that is about to start.
PORTS = range(20_000, 32_768)
handed_out = set()

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

Instance = collections.namedtuple("Instance", ["container", "port", "version"])

# What Stead does not have, so that it refuses it: the test, and why. A test ends with the part of its name after "::".
LEFT_OUT = {
    "TestConsulAclTemplatedPolicy": "templated policies are not supported",
    "test_acl_token_create_templated": "templated policies are not supported",
    "test_acl_auth_method_crud": "auth methods are not supported",
    "test_acl_binding_rule_crud": "binding rules are not supported",
    "TestConfig": "configuration entries are not supported",
    "TestConsulConnectIntentions": "the service mesh is not supported",
    "TestConsulConnectCA": "the service mesh is not supported",
    "TestDiscoveryChain": "the service mesh is not supported",
    "test_autopilot_configuration": "autopilot is not supported",
    "test_autopilot_health": "autopilot is not supported",
    "test_usage": "usage is not supported",
    "test_agent_checks": "no check runs a program",
    "test_agent_service_register_kind_proxy_locality": "the service mesh is not supported",
    "test_agent_service_connect": "the service mesh is not supported",
    "test_agent_metrics": "metrics for Prometheus are at another address",
    "test_agent_token_set": "tokens of agents are not supported",
    "test_agent_leave": "nobody stops a member over HTTP",
    "test_catalog_filter": "the service mesh is not supported, which it asks about as well",
    "test_catalog_service_merge_central_config": "the service mesh is not supported, which it asks about as well",
    "test_catalog_service_peer_unknown": "peering is not supported",
    "test_catalog_gateway_services": "the service mesh is not supported",
    "test_coordinate_update": "network coordinates are not kept",
    "test_health_service_peer": "peering is not supported",
    "test_health_connect": "the service mesh is not supported",
    "test_health_ingress": "the service mesh is not supported",
}

# What expects that there is one node and no other.
ALONE = {"test_catalog", "test_health_state"}


def pytest_collection_modifyitems(items):
    for item in items:
        names = {item.originalname, item.cls.__name__ if item.cls else None}
        for name in names & LEFT_OUT.keys():
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT[name]))


def free_ports(number):
    """Ports that nothing listens on, none given twice."""
    found = []
    while len(found) < number:
        port = random.choice(PORTS)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in handed_out:
            handed_out.add(port)
            found.append(port)
    return found


def end_with_parent():
    """A node does not outlive the tests, however they end."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Cluster:
    """Nodes that know each other. The token is that of who may do everything; none without ACLs."""

    def __init__(self, with_acls, nodes=NODES):
        self.token = str(uuid.uuid4()) if with_acls else None
        self.folder = pathlib.Path(os.environ["STEAD_FOLDER"], uuid.uuid4().hex)
        self.folder.mkdir()
        self.names = [f"consul-test-{number}" for number in range(nodes)]
        ports = free_ports(3 * nodes)
        peers, clients, self.ports = ports[:nodes], ports[nodes : 2 * nodes], ports[2 * nodes :]
        members = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in zip(self.names, peers))
        self.processes = []
        for name, peer, client, consul in zip(self.names, peers, clients, self.ports):
            arguments = [
                os.environ["STEAD_BINARY"],
                "server",
                f"--name={name}",
                f"--data-dir={self.folder}/{name}",
                f"--initial-cluster={members}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}",
                f"--listen-consul-urls=http://127.0.0.1:{consul}",
                "--check-registration=all",
            ]
            if self.token:
                arguments += ["--consul-acl", f"--consul-acl-initial-management-token={self.token}"]
            with open(self.folder / f"{name}.log", "wb") as log:
                process = subprocess.Popen(arguments, stdout=log, stderr=log, preexec_fn=end_with_parent)
            self.processes.append(process)

    def ask(self, port, path):
        headers = {"X-Consul-Token": self.token} if self.token else {}
        answer = requests.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=10)
        return answer.json() if answer.ok else None

    def asked(self):
        """The place of a node that does not lead, if there is another, once all of them are ready."""
        for process in self.processes:
            if process.poll() is not None:
                raise RuntimeError(f"stead ended with {process.returncode}")
        try:
            for port in self.ports:
                alive = self.ask(port, "/v1/health/service/consul?passing")
                if not alive or len(alive) < len(self.names):
                    return None
            servers = self.ask(self.ports[0], "/v1/operator/raft/configuration")["Servers"]
        except requests.RequestException:
            return None
        servers.sort(key=lambda server: server["Leader"])
        return self.names.index(servers[0]["Node"])

    def instance(self):
        until = time.monotonic() + MAXIMUM_START_SECONDS
        while (place := self.asked()) is None:
            if time.monotonic() > until:
                logs = [path.read_text()[-2000:] for path in self.folder.glob("*.log")]
                raise TimeoutError("stead is not ready: " + "\n".join(logs))
            time.sleep(PAUSE_SECONDS)
        about = self.ask(self.ports[place], "/v1/agent/self")
        return Instance(self.processes[place], self.ports[place], about["Config"]["Version"])

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
        # A node takes some room, and there are more than a hundred clusters.
        shutil.rmtree(self.folder)


# The next cluster with ACLs, and the next without.
spare = {}


def running(request, with_acls):
    """A node of a cluster, and who may do everything there, until the test has done with it."""
    if request.node.originalname in ALONE:
        cluster = Cluster(with_acls, nodes=1)
    else:
        cluster = spare.pop(with_acls, None) or Cluster(with_acls)
        spare[with_acls] = Cluster(with_acls)
    try:
        yield cluster.instance(), cluster.token
    finally:
        cluster.end()


def pytest_sessionfinish():
    for cluster in spare.values():
        cluster.end()


@pytest.fixture
def consul_instance(request):
    for instance, _ in running(request, with_acls=False):
        yield instance


@pytest.fixture
def acl_consul_instance(request):
    yield from running(request, with_acls=True)


@pytest.fixture
def consul_port(consul_instance, monkeypatch):
    # A test has its own server checked, at the port that it has elsewhere.
    make = Check.http

    def moved(url, *arguments, **named):
        return make(url.replace(":8500", f":{consul_instance.port}"), *arguments, **named)

    monkeypatch.setattr(Check, "http", moved)
    return consul_instance.port, consul_instance.version
