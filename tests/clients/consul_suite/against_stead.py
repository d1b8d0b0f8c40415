"""Starts Stead for the tests that come with the Python client of Consul: a plugin of pytest.

STEAD_BINARY is the program, STEAD_FOLDER where the nodes keep their data. The tests themselves are left as they are; what
starts Consul in containers for them is replaced by this. As there, each test gets a server of its own, with nothing in it.
"""

import collections
import os
import pathlib
import shutil
import socket
import subprocess
import time
import uuid

import pytest
import requests

MAXIMUM_START_SECONDS = 60
PAUSE_SECONDS = 0.05

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
    "test_service_multi_check": "expects Consul at port 8500 of the same machine",
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


def pytest_collection_modifyitems(items):
    for item in items:
        names = {item.originalname, item.cls.__name__ if item.cls else None}
        for name in names & LEFT_OUT.keys():
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT[name]))


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def is_ready(base, process, headers):
    if process.poll() is not None:
        raise RuntimeError(f"stead ended with {process.returncode}")
    try:
        leader = requests.get(f"{base}/v1/status/leader", timeout=2)
        nodes = requests.get(f"{base}/v1/catalog/nodes", headers=headers, timeout=2)
        return leader.ok and leader.json() and nodes.ok and nodes.json()
    except requests.RequestException:
        return False


def running(token=None):
    """A node, until the test has done with it."""
    client, peer, consul = free_ports(3)
    folder = pathlib.Path(os.environ["STEAD_FOLDER"], uuid.uuid4().hex)
    folder.mkdir()
    arguments = [
        os.environ["STEAD_BINARY"],
        "server",
        "--name=consul-test",
        f"--data-dir={folder}/data",
        f"--initial-cluster=consul-test=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-consul-urls=http://127.0.0.1:{consul}",
        "--check-registration=all",
    ]
    if token:
        arguments += ["--consul-acl", f"--consul-acl-initial-management-token={token}"]
    base = f"http://127.0.0.1:{consul}"
    headers = {"X-Consul-Token": token} if token else {}
    with open(folder / "log", "wb") as log, subprocess.Popen(arguments, stdout=log, stderr=log) as process:
        try:
            until = time.monotonic() + MAXIMUM_START_SECONDS
            while not is_ready(base, process, headers):
                if time.monotonic() > until:
                    raise TimeoutError(f"stead is not ready: {(folder / 'log').read_text()[-4000:]}")
                time.sleep(PAUSE_SECONDS)
            about = requests.get(f"{base}/v1/agent/self", headers=headers, timeout=10).json()
            yield Instance(process, consul, about["Config"]["Version"])
        finally:
            process.kill()
            process.wait()
            # A node takes some room, and there are more than a hundred.
            shutil.rmtree(folder)


@pytest.fixture
def consul_instance():
    yield from running()


@pytest.fixture
def acl_consul_instance():
    token = str(uuid.uuid4())
    for instance in running(token):
        yield instance, token


@pytest.fixture
def consul_port(consul_instance):
    return consul_instance.port, consul_instance.version
