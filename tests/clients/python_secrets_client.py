"""What a program without any library of Stead's does with its secrets: gRPC, and the messages that protoc makes of
proto/secrets/secrets.proto; one function for each claim.

Usage: python_secrets_client.py FOLDER HOST:PORT HOST:PORT HOST:PORT  It exits with 0 if every claim holds. The folder is that of
secrets_pb2.py, and the addresses are those of the members of a cluster whose store was never initialized.
"""

import collections
import json
import sys

import grpc

TIMEOUT_SECONDS = 30

SHARES = 3
THRESHOLD = 2

POLICY = """
path "secret/data/app/*" { capabilities = ["create", "read", "update", "delete"] }
path "secret/metadata/app/*" { capabilities = ["list"] }
path "secret/metadata/app" { capabilities = ["list"] }
"""


class Service:
    """A service of a member, by its descriptor: a method for each of its calls."""

    def __init__(self, channel, descriptor, messages, metadata=()):
        for method in descriptor.methods:
            is_stream = (descriptor.name, method.name) == ("Secrets", "Watch")
            call = (channel.unary_stream if is_stream else channel.unary_unary)(
                f"/{descriptor.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=getattr(messages, method.output_type.name).FromString,
            )
            message = getattr(messages, method.input_type.name)
            setattr(self, method.name, self.calling(call, message, metadata))

    @staticmethod
    def calling(call, message, metadata):
        return lambda **fields: call(message(**fields), timeout=TIMEOUT_SECONDS, metadata=metadata)


class Member:
    """A member, as somebody with a token, or with none, sees it."""

    def __init__(self, channel, messages, token=None):
        metadata = [("authorization", f"Bearer {token}")] if token else []
        services = messages.DESCRIPTOR.services_by_name
        self.channel, self.messages = channel, messages
        self.seal = Service(channel, services["Seal"], messages, metadata)
        self.secrets = Service(channel, services["Secrets"], messages, metadata)

    def with_token(self, token):
        return Member(self.channel, self.messages, token)

    def read(self, path):
        return json.loads(self.secrets.Read(path=path).data)

    def write(self, path, **data):
        return self.secrets.Write(path=path, data=json.dumps(data).encode())

    def list(self, path):
        return json.loads(self.secrets.List(path=path).data)["keys"]


Cluster = collections.namedtuple("Cluster", "members roots users")


def refused(code, call, *arguments, **fields):
    try:
        call(*arguments, **fields)
    except grpc.RpcError as error:
        assert error.code() is code, error
        return error.details()
    raise AssertionError(f"{code} was expected")


def a_store_is_initialized_and_each_member_is_unsealed(cluster):
    for member in cluster.members:
        assert not member.seal.Status().is_initialized
    made = cluster.members[0].seal.Initialize(shares=SHARES, threshold=THRESHOLD)
    assert len(made.shares) == SHARES
    refused(grpc.StatusCode.INVALID_ARGUMENT, cluster.members[1].seal.Initialize, shares=SHARES, threshold=THRESHOLD)
    for member in cluster.members[1:]:
        refused(grpc.StatusCode.FAILED_PRECONDITION, member.with_token(made.root_token).read, "sys/mounts")
        for given, share in enumerate(made.shares[:THRESHOLD]):
            assert member.seal.Status().given == given
            status = member.seal.Unseal(share=share)
        assert not status.is_sealed and [seal.kind for seal in status.seals] == ["shares"]
    cluster.roots.extend(member.with_token(made.root_token) for member in cluster.members)


def somebody_logs_in_and_has_the_rights_of_a_policy(cluster):
    one, two, three = cluster.roots
    one.write("sys/mounts/secret", type="kv", options={"version": "2"})
    two.write("sys/policies/acl/app", policy=POLICY)
    three.write("sys/auth/userpass", type="userpass")
    one.write("auth/userpass/users/alice", password="wonderland", token_policies="app")
    path = "auth/userpass/login/alice"
    details = refused(grpc.StatusCode.INVALID_ARGUMENT, cluster.members[1].write, path, password="underland")
    assert "underland" not in details, details
    auth = cluster.members[1].write(path, password="wonderland").auth
    assert list(auth.policies) == ["app", "default"] and auth.kind == "service" and auth.lease_seconds > 0
    cluster.users.extend(member.with_token(auth.token) for member in cluster.members)
    for user in cluster.users:
        assert user.read("auth/token/lookup-self")["accessor"] == auth.accessor
        refused(grpc.StatusCode.PERMISSION_DENIED, user.read, "secret/data/other")
    for member in cluster.members:
        refused(grpc.StatusCode.PERMISSION_DENIED, member.read, "secret/data/app/a")


def secrets_are_written_on_one_member_and_read_and_listed_on_all(cluster):
    for number, user in enumerate(cluster.users):
        secret = {"number": number, "big": 12345678901234567890123, "text": "é"}
        answer = user.write(f"secret/data/app/{number}", data=secret)
        assert json.loads(answer.data)["version"] == 1 and answer.mount_kind == "kv"
        for other in cluster.users:
            read = other.read(f"secret/data/app/{number}")
            assert read["data"] == secret and read["metadata"]["version"] == 1, read
            assert other.list("secret/metadata/app") == [str(listed) for listed in range(number + 1)]
    stale = {"data": {}, "options": {"cas": 7}}
    details = refused(grpc.StatusCode.INVALID_ARGUMENT, cluster.users[1].write, "secret/data/app/0", **stale)
    assert "check-and-set" in details, details
    cluster.users[2].secrets.Delete(path="secret/data/app/0")
    for user in cluster.users:
        answer = user.secrets.Read(path="secret/data/app/0")
        assert answer.is_gone and json.loads(answer.data)["data"] is None
        refused(grpc.StatusCode.NOT_FOUND, user.read, "secret/data/app/none")


def a_watch_tells_what_has_changed_and_not_what_it_is(cluster):
    paths = ["secret/data/app/1", "secret/data/app/2"]
    watch = cluster.users[0].secrets.Watch(paths=paths)
    assert not next(watch).paths
    for writer, path in ((1, paths[1]), (2, paths[0])):
        # What is written elsewhere tells nothing.
        cluster.users[writer].write("secret/data/app/unwatched", data={"v": path})
        cluster.users[writer].write(path, data={"v": "new"})
        told = next(watch)
        assert list(told.paths) == [path] and b"new" not in told.SerializeToString(), told
    watch.cancel()
    forbidden = cluster.users[0].secrets.Watch(paths=["secret/data/other"])
    refused(grpc.StatusCode.PERMISSION_DENIED, next, forbidden)


def an_answer_is_wrapped_and_unwrapped_once(cluster):
    answer = cluster.users[0].secrets.Read(path="secret/data/app/1", wrap_ttl_seconds=300)
    assert not answer.data and answer.wrapped.ttl_seconds == 300
    assert answer.wrapped.creation_path == "secret/data/app/1"
    wrapping = answer.wrapped.token
    unwrapped = cluster.members[1].with_token(wrapping).write("sys/wrapping/unwrap")
    assert json.loads(unwrapped.data)["data"] == {"v": "new"}
    again = cluster.members[2].with_token(wrapping).write
    refused(grpc.StatusCode.INVALID_ARGUMENT, again, "sys/wrapping/unwrap")


def a_token_that_is_revoked_is_refused_everywhere(cluster):
    cluster.users[0].write("auth/token/revoke-self")
    for user in cluster.users:
        refused(grpc.StatusCode.PERMISSION_DENIED, user.read, "secret/data/app/1")


def main(folder, *addresses):
    sys.path.insert(0, folder)
    import secrets_pb2

    channels = [grpc.insecure_channel(address) for address in addresses]
    cluster = Cluster([Member(channel, secrets_pb2) for channel in channels], [], [])
    for claim in (
        a_store_is_initialized_and_each_member_is_unsealed,
        somebody_logs_in_and_has_the_rights_of_a_policy,
        secrets_are_written_on_one_member_and_read_and_listed_on_all,
        a_watch_tells_what_has_changed_and_not_what_it_is,
        an_answer_is_wrapped_and_unwrapped_once,
        a_token_that_is_revoked_is_refused_everywhere,
    ):
        print(claim.__name__, flush=True)
        claim(cluster)
    for channel in channels:
        channel.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
