import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.concurrent.TimeUnit.SECONDS;

import io.etcd.jetcd.Auth;
import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.ClientBuilder;
import io.etcd.jetcd.Election;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.Lease;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.auth.Permission;
import io.etcd.jetcd.cluster.Member;
import io.etcd.jetcd.common.exception.CompactedException;
import io.etcd.jetcd.common.exception.EtcdException;
import io.etcd.jetcd.election.CampaignResponse;
import io.etcd.jetcd.election.LeaderResponse;
import io.etcd.jetcd.kv.GetResponse;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.lock.LockResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.CompactOption;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchEvent;
import io.etcd.jetcd.watch.WatchResponse;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeoutException;

/**
 * What the Java client jetcd does with a cluster: one method for each claim. It prints what it saw, without what differs
 * from run to run, so that two servers can be compared line by line.
 *
 * <p>Usage: Client ENDPOINTS with the endpoints separated by commas. Exits with 0 if every claim holds. With
 * {@code writes} before them it puts one new key after another until its input ends, and prints each key whose put was
 * acknowledged; the value is the key. With {@code follow} it prints {@code following}, then each key that changes below
 * {@code follow/}, until its input ends.
 */
public final class Client {
    private static final long TIMEOUT_SECONDS = 30;

    // Of one put that may fail, and the pause after it failed.
    private static final long PUT_TIMEOUT_SECONDS = 5;
    private static final long PAUSE_MILLISECONDS = 50;

    private final String[] endpoints;
    private final io.etcd.jetcd.Client client;
    private final List<io.etcd.jetcd.Client> nodes = new ArrayList<>();

    private Client(String[] endpoints) {
        this.endpoints = endpoints;
        client = builder(endpoints).build();
        for (String endpoint : endpoints) {
            nodes.add(builder(endpoint).build());
        }
    }

    private static ClientBuilder builder(String... endpoints) {
        return io.etcd.jetcd.Client.builder().endpoints(endpoints).connectTimeout(Duration.ofSeconds(TIMEOUT_SECONDS));
    }

    private static ByteSequence bytes(Object text) {
        return ByteSequence.from(text.toString(), UTF_8);
    }

    private static String text(ByteSequence bytes) {
        return bytes.toString(UTF_8);
    }

    private static <Answer> Answer get(CompletableFuture<Answer> future) throws Exception {
        return future.get(TIMEOUT_SECONDS, SECONDS);
    }

    private static <Value> Value next(BlockingQueue<Value> queue) throws Exception {
        Value value = queue.poll(TIMEOUT_SECONDS, SECONDS);
        if (value == null) {
            throw new TimeoutException("nothing came");
        }
        return value;
    }

    private static void show(Object... values) {
        System.out.println("  " + String.join(" ", Arrays.stream(values).map(String::valueOf).toList()));
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** The class, code and text of the error with which a call fails. */
    private static String failure(CompletableFuture<?> future) throws Exception {
        try {
            get(future);
        } catch (ExecutionException error) {
            return shown(error.getCause());
        }
        throw new AssertionError("the call should have failed");
    }

    private static String shown(Throwable error) {
        String code = error instanceof EtcdException known ? " " + known.getErrorCode() : "";
        return error.getClass().getSimpleName() + code + ": " + error.getMessage();
    }

    private static String shown(KeyValue pair) {
        return "%s=%s v%d c%d m%d%s".formatted(text(pair.getKey()), text(pair.getValue()), pair.getVersion(),
                pair.getCreateRevision(), pair.getModRevision(), pair.getLease() == 0 ? "" : " leased");
    }

    private static List<String> shown(GetResponse answer) {
        return answer.getKvs().stream().map(Client::shown).toList();
    }

    private static GetOption.Builder prefix() {
        return GetOption.builder().isPrefix(true);
    }

    private void keysAreWrittenReadAndDeleted() throws Exception {
        KV kv = client.getKVClient();
        show(get(kv.put(bytes("kv/a"), bytes("1"))).getHeader().getRevision());
        for (io.etcd.jetcd.Client node : nodes) {
            show(shown(get(node.getKVClient().get(bytes("kv/a")))));
        }
        show(shown(get(kv.put(bytes("kv/a"), bytes("2"), PutOption.builder().withPrevKV().build())).getPrevKv()));
        show(get(kv.get(bytes("kv/none"))).getCount());
        ByteSequence raw = ByteSequence.from(new byte[] {'k', 'v', '/', 0, -1});
        get(kv.put(raw, raw));
        check(get(kv.get(raw)).getKvs().get(0).getValue().equals(raw), "bytes come back as they were");
        var deleted = get(kv.delete(bytes("kv/"), DeleteOption.builder().isPrefix(true).withPrevKV(true).build()));
        show(deleted.getDeleted(), shown(deleted.getPrevKvs().get(1)));
        show(get(kv.delete(bytes("kv/a"))).getDeleted());
        show(failure(kv.put(ByteSequence.EMPTY, bytes("1"))));
    }

    private void rangesAreSortedLimitedAndFiltered() throws Exception {
        KV kv = client.getKVClient();
        for (int number = 0; number < 10; number++) {
            get(kv.put(bytes("range/" + number), bytes(9 - number)));
        }
        ByteSequence all = bytes("range/");
        var page = get(kv.get(all, prefix().withLimit(3).withSortField(GetOption.SortTarget.VALUE)
                .withSortOrder(GetOption.SortOrder.ASCEND).build()));
        show(shown(page), page.getCount(), page.isMore());
        show(shown(get(kv.get(all, prefix().withKeysOnly(true).withLimit(2).build()))));
        show(get(kv.get(all, prefix().withCountOnly(true).build())).getCount());
        show(shown(get(kv.get(bytes("range/3"), GetOption.builder().withRange(bytes("range/5")).build()))));
        long modified = page.getKvs().get(2).getModRevision();
        show(shown(get(kv.get(all, prefix().withMinModRevision(modified).build()))));
        show(shown(get(kv.get(all, prefix().withMaxCreateRevision(modified - 6).build()))));
        show(get(kv.get(all, prefix().withRevision(modified - 2).build())).getCount());
        show(get(kv.get(all, prefix().withSerializable(true).build())).getCount());
        show(failure(kv.get(all, prefix().withRevision(1_000_000).build())));
    }

    private void aNamespaceIsAStoreOfItsOwn() throws Exception {
        try (io.etcd.jetcd.Client inner = builder(endpoints).namespace(bytes("name/")).build()) {
            get(inner.getKVClient().put(bytes("a"), bytes("1")));
            show(shown(get(client.getKVClient().get(bytes("name/a")))));
            show(shown(get(inner.getKVClient().get(bytes("a"), prefix().build()))));
            show(get(inner.getKVClient().get(bytes("range/"), prefix().build())).getCount());
        }
    }

    private void aTransactionTakesOneOfTwoBranches() throws Exception {
        KV kv = client.getKVClient();
        ByteSequence key = bytes("txn/a");
        get(kv.put(key, bytes("old")));
        for (int round = 0; round < 2; round++) {
            var answer = get(kv.txn()
                    .If(new Cmp(key, Cmp.Op.EQUAL, CmpTarget.value(bytes("old"))),
                            new Cmp(key, Cmp.Op.GREATER, CmpTarget.version(0)),
                            new Cmp(key, Cmp.Op.NOT_EQUAL, CmpTarget.modRevision(1)),
                            new Cmp(bytes("txn/none"), Cmp.Op.EQUAL, CmpTarget.createRevision(0)))
                    .Then(Op.put(key, bytes("new"), PutOption.DEFAULT), Op.get(key, GetOption.DEFAULT),
                            Op.txn(new Cmp[] {new Cmp(key, Cmp.Op.LESS, CmpTarget.version(9))},
                                    new Op[] {Op.put(bytes("txn/b"), bytes("inner"), PutOption.DEFAULT)}, new Op[0]))
                    .Else(Op.get(bytes("txn/"), prefix().build()),
                            Op.delete(bytes("txn/none"), DeleteOption.DEFAULT))
                    .commit());
            show(answer.isSucceeded(), answer.getHeader().getRevision(), answer.getPutResponses().size(),
                    answer.getGetResponses().stream().map(Client::shown).toList(),
                    answer.getTxnResponses().stream().map(inner -> inner.isSucceeded()).toList(),
                    answer.getDeleteResponses().stream().map(delete -> delete.getDeleted()).toList());
        }
        show(failure(kv.txn()
                .Then(Op.put(key, bytes("1"), PutOption.DEFAULT), Op.put(key, bytes("2"), PutOption.DEFAULT))
                .commit()));
    }

    private static <Value> StreamObserver<Value> into(BlockingQueue<Value> queue) {
        return new StreamObserver<>() {
            @Override
            public void onNext(Value value) {
                queue.add(value);
            }

            @Override
            public void onError(Throwable error) {
                System.err.println(error);
            }

            @Override
            public void onCompleted() {}
        };
    }

    private void aLeaseIsKeptAliveAndTakesItsKeys() throws Exception {
        Lease leases = client.getLeaseClient();
        KV kv = client.getKVClient();
        long id = get(leases.grant(2)).getID();
        get(kv.put(bytes("lease/a"), bytes("1"), PutOption.builder().withLeaseId(id).build()));
        BlockingQueue<LeaseKeepAliveResponse> answers = new LinkedBlockingQueue<>();
        try (var keeper = leases.keepAlive(id, into(answers))) {
            // Longer than it lives without.
            for (int round = 0; round < 5; round++) {
                show(next(answers).getTTL());
            }
        }
        show(get(leases.keepAliveOnce(id)).getTTL());
        var left = get(leases.timeToLive(id, LeaseOption.builder().withAttachedKeys().build()));
        show(left.getGrantedTTL(), left.getTTL() <= 2, left.getKeys().stream().map(Client::text).toList());
        get(leases.revoke(id));
        show(get(nodes.get(1).getKVClient().get(bytes("lease/a"))).getCount());
        show(get(leases.timeToLive(id, LeaseOption.DEFAULT)).getTTL());
        show(failure(leases.revoke(id)).replace(String.valueOf(id), "ID"));
        show(failure(leases.keepAliveOnce(id)).replace(String.valueOf(id), "ID"));
        show(failure(kv.put(bytes("lease/b"), bytes("1"), PutOption.builder().withLeaseId(12345).build())));

        BlockingQueue<WatchResponse> responses = new LinkedBlockingQueue<>();
        long expiring = get(leases.grant(1)).getID();
        long start = get(kv.put(bytes("lease/c"), bytes("1"), PutOption.builder().withLeaseId(expiring).build()))
                .getHeader().getRevision();
        WatchOption option = WatchOption.builder().withRevision(start).withNoPut(true).build();
        try (var watcher = client.getWatchClient().watch(bytes("lease/c"), option, responses::add)) {
            show(shown(next(responses).getEvents().get(0), start));
        }
    }

    private static String shown(WatchEvent event, long first) {
        KeyValue before = event.getPrevKV();
        KeyValue now = event.getKeyValue();
        return "%s %s=%s (%s) +%d".formatted(event.getEventType(), text(now.getKey()), text(now.getValue()),
                before == null ? "" : text(before.getValue()), now.getModRevision() - first);
    }

    private void aWatchSeesEveryChangeInOrder() throws Exception {
        KV kv = client.getKVClient();
        Watch watches = client.getWatchClient();
        ByteSequence key = bytes("watch/a");
        long first = get(kv.put(key, bytes("0"))).getHeader().getRevision();
        BlockingQueue<WatchResponse> responses = new LinkedBlockingQueue<>();
        WatchOption option = WatchOption.builder().isPrefix(true).withPrevKV(true).withRevision(first).build();
        try (var watcher = watches.watch(bytes("watch/"), option, responses::add)) {
            for (int number = 1; number < 10; number++) {
                get(nodes.get(number % nodes.size()).getKVClient().put(key, bytes(number)));
            }
            get(nodes.get(1).getKVClient().delete(key));
            List<WatchEvent> events = new ArrayList<>();
            while (events.size() < 11) {
                events.addAll(next(responses).getEvents());
            }
            for (WatchEvent event : events) {
                show(shown(event, first));
            }
            watcher.requestProgress();
            WatchResponse progress = next(responses);
            show(progress.isProgressNotify(), progress.getHeader().getRevision() - first);
        }

        get(kv.compact(first + 5, CompactOption.builder().withCompactPhysical(true).build()));
        show(failure(kv.compact(first + 5)));
        show(failure(kv.get(key, GetOption.builder().withRevision(first).build())));
        BlockingQueue<Throwable> errors = new LinkedBlockingQueue<>();
        try (var old = watches.watch(key, WatchOption.builder().withRevision(first).build(), response -> {},
                errors::add)) {
            Throwable error = next(errors);
            show(shown(error), error instanceof CompactedException compacted
                    ? compacted.getCompactedRevision() - first : "");
        }
    }

    private void aLockIsHeldByOne() throws Exception {
        ByteSequence name = bytes("lock/a");
        long first = get(nodes.get(0).getLeaseClient().grant(60)).getID();
        long second = get(nodes.get(1).getLeaseClient().grant(60)).getID();
        LockResponse held = get(nodes.get(0).getLockClient().lock(name, first));
        show(text(held.getKey()).equals("lock/a/" + Long.toHexString(first)));
        LockResponse again = get(nodes.get(2).getLockClient().lock(name, first));
        check(again.getKey().equals(held.getKey()), "the lease that holds a lock gets it again");
        CompletableFuture<LockResponse> waiting = nodes.get(1).getLockClient().lock(name, second);
        while (get(client.getKVClient().get(name, prefix().withCountOnly(true).build())).getCount() < 2) {
            Thread.sleep(PAUSE_MILLISECONDS);
        }
        show(waiting.isDone());
        get(nodes.get(0).getLockClient().unlock(held.getKey()));
        LockResponse passed = get(waiting);
        show(text(passed.getKey()).equals("lock/a/" + Long.toHexString(second)));
        get(nodes.get(1).getLeaseClient().revoke(second));
        get(nodes.get(0).getLeaseClient().revoke(first));
        show(get(client.getKVClient().get(name, prefix().build())).getCount());
        show(failure(client.getLockClient().lock(name, 12345)));
    }

    private void anElectionHasOneLeader() throws Exception {
        ByteSequence name = bytes("vote");
        Election elections = client.getElectionClient();
        show(failure(elections.leader(name)));
        BlockingQueue<LeaderResponse> seen = new LinkedBlockingQueue<>();
        StreamObserver<LeaderResponse> observer = into(seen);
        nodes.get(2).getElectionClient().observe(name, new Election.Listener() {
            @Override
            public void onNext(LeaderResponse response) {
                observer.onNext(response);
            }

            @Override
            public void onError(Throwable error) {
                observer.onError(error);
            }

            @Override
            public void onCompleted() {}
        });
        long lease = get(client.getLeaseClient().grant(60)).getID();
        long other = get(client.getLeaseClient().grant(60)).getID();
        CampaignResponse first = get(elections.campaign(name, lease, bytes("first")));
        show(text(next(seen).getKv().getValue()));
        CompletableFuture<CampaignResponse> second = nodes.get(1).getElectionClient().campaign(name, other, bytes("second"));
        get(elections.proclaim(first.getLeader(), bytes("still the first")));
        show(text(next(seen).getKv().getValue()), second.isDone());
        show(text(get(nodes.get(1).getElectionClient().leader(name)).getKv().getValue()));
        get(elections.resign(first.getLeader()));
        CampaignResponse won = get(second);
        show(text(next(seen).getKv().getValue()), text(won.getLeader().getName()));
        show(failure(elections.proclaim(first.getLeader(), bytes("late"))));
        get(elections.resign(won.getLeader()));
        show(failure(elections.leader(name)));
    }

    private void membersAndMaintenanceAreTold() throws Exception {
        List<Member> members = get(client.getClusterClient().listMember()).getMembers();
        show(members.stream().map(member -> member.getName() + " " + member.getClientURIs().size() + " "
                + member.isLearner()).sorted().toList());
        Set<Long> ids = new HashSet<>(members.stream().map(Member::getId).toList());
        long revision = get(client.getKVClient().get(bytes("a"))).getHeader().getRevision();
        show(revision);
        Set<Integer> hashes = new HashSet<>();
        for (String endpoint : endpoints) {
            // A serializable answer may be old; this one is not.
            get(nodes.get(List.of(endpoints).indexOf(endpoint)).getKVClient().get(bytes("a")));
            var status = get(client.getMaintenanceClient().statusMember(endpoint));
            show(ids.contains(status.getLeader()), status.getDbSize() >= status.getDbSizeInUse(), status.isLearner(),
                    status.getErrorList());
            hashes.add(get(client.getMaintenanceClient().hashKV(endpoint, revision)).getHash());
            get(client.getMaintenanceClient().defragmentMember(endpoint));
        }
        show(hashes.size(), get(client.getMaintenanceClient().listAlarms()).getAlarms().size());

        ByteArrayOutputStream file = new ByteArrayOutputStream();
        long size = get(client.getMaintenanceClient().snapshot(file));
        byte[] snapshot = file.toByteArray();
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        int end = snapshot.length - digest.getDigestLength();
        digest.update(snapshot, 0, end);
        boolean isWhole = Arrays.equals(digest.digest(), Arrays.copyOfRange(snapshot, end, snapshot.length));
        show(size == snapshot.length, end % 512, isWhole);
    }

    private void usersHaveTheRightsOfTheirRoles() throws Exception {
        Auth auth = client.getAuthClient();
        ByteSequence app = bytes("app");
        ByteSequence alice = bytes("alice");
        ByteSequence root = bytes("root");
        get(auth.roleAdd(app));
        show(failure(auth.roleAdd(app)));
        get(auth.roleGrantPermission(app, bytes("app/"), bytes("app0"), Permission.Type.READWRITE));
        get(auth.roleGrantPermission(app, bytes("config"), bytes("config\0"), Permission.Type.READ));
        show(permissions(auth, app));
        get(auth.roleRevokePermission(app, bytes("config"), bytes("config\0")));
        show(permissions(auth, app));
        show(failure(auth.roleRevokePermission(app, bytes("config"), bytes("config\0"))));
        get(auth.userAdd(alice, bytes("secret")));
        show(failure(auth.userAdd(alice, bytes("secret"))), failure(auth.userAdd(bytes(""), bytes("secret"))));
        show(failure(auth.userGrantRole(alice, bytes("nothing"))), failure(auth.userRevokeRole(alice, app)));
        get(auth.userGrantRole(alice, app));
        show(get(auth.userGet(alice)).getRoles(), failure(auth.userGet(bytes("bob"))));
        show(failure(auth.authEnable()));
        get(auth.userAdd(root, bytes("rootpw")));
        get(auth.roleAdd(root));
        get(auth.userGrantRole(root, root));
        get(auth.authEnable());
        try (var asRoot = builder(endpoints).user(root).password(bytes("rootpw")).build();
                var asAlice = builder(endpoints).user(alice).password(bytes("secret")).build();
                var asMallory = builder(endpoints).user(alice).password(bytes("wrong")).build()) {
            get(asAlice.getKVClient().put(bytes("app/a"), bytes("hers")));
            show(text(get(asRoot.getKVClient().get(bytes("app/a"))).getKvs().get(0).getValue()));
            show(failure(asAlice.getKVClient().put(bytes("other"), bytes("1"))));
            show(failure(asAlice.getAuthClient().userAdd(bytes("bob"), bytes("x"))));
            show(failure(asMallory.getKVClient().get(bytes("app/a"))));
            show(failure(client.getKVClient().get(bytes("app/a"))));
            BlockingQueue<Throwable> errors = new LinkedBlockingQueue<>();
            try (var refused = asAlice.getWatchClient().watch(bytes("other"), response -> {}, errors::add)) {
                show(shown(next(errors)));
            }
            show(get(asRoot.getAuthClient().userList()).getUsers(), get(asRoot.getAuthClient().roleList()).getRoles());
            get(asRoot.getAuthClient().userChangePassword(alice, bytes("new")));
            try (var again = builder(endpoints).user(alice).password(bytes("new")).build()) {
                show(get(again.getKVClient().get(bytes("app/a"))).getCount());
            }
            get(asRoot.getAuthClient().userRevokeRole(alice, app));
            get(asRoot.getAuthClient().authDisable());
        }
        get(auth.userDelete(alice));
        get(auth.roleDelete(app));
        show(get(auth.userList()).getUsers(), failure(auth.roleDelete(app)));
    }

    private static List<String> permissions(Auth auth, ByteSequence role) throws Exception {
        return get(auth.roleGet(role)).getPermissions().stream()
                .map(found -> found.getPermType() + " " + text(found.getKey()) + " " + text(found.getRangeEnd()))
                .toList();
    }

    /** One claim: a method of this class, and what it is called. */
    private record Claim(String name, Check check) {
        private interface Check {
            void run() throws Exception;
        }
    }

    private void claims() throws Exception {
        List<Claim> claims = List.of(
                new Claim("keysAreWrittenReadAndDeleted", this::keysAreWrittenReadAndDeleted),
                new Claim("rangesAreSortedLimitedAndFiltered", this::rangesAreSortedLimitedAndFiltered),
                new Claim("aNamespaceIsAStoreOfItsOwn", this::aNamespaceIsAStoreOfItsOwn),
                new Claim("aTransactionTakesOneOfTwoBranches", this::aTransactionTakesOneOfTwoBranches),
                new Claim("aLeaseIsKeptAliveAndTakesItsKeys", this::aLeaseIsKeptAliveAndTakesItsKeys),
                new Claim("aWatchSeesEveryChangeInOrder", this::aWatchSeesEveryChangeInOrder),
                new Claim("aLockIsHeldByOne", this::aLockIsHeldByOne),
                new Claim("anElectionHasOneLeader", this::anElectionHasOneLeader),
                new Claim("membersAndMaintenanceAreTold", this::membersAndMaintenanceAreTold),
                new Claim("usersHaveTheRightsOfTheirRoles", this::usersHaveTheRightsOfTheirRoles));
        for (Claim claim : claims) {
            System.out.println(claim.name());
            claim.check().run();
        }
    }

    private static void untilTheInputEnds() throws IOException {
        while (System.in.read() >= 0) {}
    }

    private void writes() throws Exception {
        Thread input = new Thread(() -> {
            try {
                untilTheInputEnds();
            } catch (IOException error) {
                System.err.println(error);
            }
        });
        input.setDaemon(true);
        input.start();
        for (long number = 0; input.isAlive(); number++) {
            String key = "writes/java/" + number;
            try {
                client.getKVClient().put(bytes(key), bytes(key)).get(PUT_TIMEOUT_SECONDS, SECONDS);
                System.out.println(key);
            } catch (ExecutionException | TimeoutException error) {
                System.err.println(key + ": " + error);
                Thread.sleep(PAUSE_MILLISECONDS);
            }
        }
    }

    private void follow() throws Exception {
        BlockingQueue<String> lines = new LinkedBlockingQueue<>();
        WatchOption option = WatchOption.builder().isPrefix(true).withCreateNotify(true).build();
        try (var watcher = client.getWatchClient().watch(bytes("follow/"), option, response -> {
            // A watch that was made anew is created again.
            if (response.isCreatedNotify()) {
                lines.add("following");
            }
            response.getEvents().forEach(event -> lines.add(text(event.getKeyValue().getKey())));
        }, error -> System.err.println("the watch has ended: " + error))) {
            System.out.println(next(lines));
            Thread printer = new Thread(() -> {
                try {
                    while (true) {
                        String line = lines.take();
                        if (!line.equals("following")) {
                            System.out.println(line);
                        }
                    }
                } catch (InterruptedException error) {
                    System.err.println(error);
                }
            });
            printer.setDaemon(true);
            printer.start();
            untilTheInputEnds();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Client program = new Client(arguments[arguments.length - 1].split(","));
        try {
            switch (arguments.length > 1 ? arguments[0] : "claims") {
                case "writes" -> program.writes();
                case "follow" -> program.follow();
                default -> program.claims();
            }
        } catch (Throwable error) {
            error.printStackTrace();
            System.exit(1);
        }
        // The client's own threads would keep the program alive.
        System.exit(0);
    }
}
