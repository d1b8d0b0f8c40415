"""Points the tests that come with the Python client etcd3 at a cluster: a plugin of pytest.

ETCDCTL_ENDPOINTS has the URL of one node. The tests themselves are left as they are.
"""

import functools
import os
import urllib.parse

import etcd3
import pytest
from hypothesis import HealthCheck, settings

# The tests that cannot work, with any server, and why.
LEFT_OUT = {
    "test_user_pwd_auth": "replaces a part of a module that is called otherwise, and cannot disable authentication",
}

# Of each property: every one runs etcdctl, which is a process.
EXAMPLES = 10

node = urllib.parse.urlparse(os.environ["ETCDCTL_ENDPOINTS"])
etcd3.client = functools.partial(etcd3.client, host=node.hostname, port=node.port)

# The suite takes the settings that are loaded for its own. It is older than the health checks, and gives its properties
# fixtures that live as long as a test.
settings.register_profile(
    "cluster", max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("cluster")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.originalname in LEFT_OUT:
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT[item.originalname]))
