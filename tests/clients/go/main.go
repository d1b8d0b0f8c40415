// The official Go client against a cluster: one function for each claim.
//
// Usage: go-client [--cacert FILE --cert FILE --key FILE] [--user NAME:PASSWORD --other NAME:PASSWORD]
// http://host:port,...  It exits with 0 if every claim holds, and prints what the servers answered, without what differs
// from run to run. The user may do everything, the other all with keys that begin with `a`; without users only the claims
// that need none are shown. With `writes` before the endpoints it does what writes.go says.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

const timeLimit = 5 * time.Minute

// A cluster as the user sees it, and how to connect to it in another way.
type cluster struct {
	*clientv3.Client
	config clientv3.Config
	// How the other user connects.
	other clientv3.Config
	// A client of each member.
	members []*clientv3.Client
}

type claim struct {
	name string
	show func(context.Context, *cluster) error
}

var claims = []claim{
	{"keys are put, listed and deleted", keys},
	{"a list at a pinned revision comes in pages", pages},
	{"a transaction compares and swaps", transactions},
	{"errors are those the library knows", typedErrors},
	{"a watch brings every change in order", watches},
	{"a watch of a compacted revision says so", compactedWatch},
	{"a lease is kept alive and takes its keys", leases},
	{"a mutex is held by one session", mutex},
	{"an election has one leader after another", election},
	{"software transactional memory adds up", transactionalMemory},
	{"members and their status are told", members},
	{"every option of a read, a put and a deletion does what it says", options},
	{"every comparison compares", comparisons},
	{"every option of a watch does what it says", watchOptions},
	{"leases have times, keys and ids", leaseOptions},
	{"sessions, locks and elections are as in the library's examples", contests},
	{"memory has every isolation", isolations},
	{"recipes work", recipes},
	{"a namespace hides its prefix", namespaces},
	{"reads are never older than those before", orderings},
	{"keys that are leased are read from the client", leasings},
	{"a mirror gets all keys and every change", mirrors},
	{"services are found by their names", names},
	{"what Kubernetes asks for is answered", kubernetesCalls},
	{"members are added, changed and removed", membership},
	{"a member is maintained", maintenance},
	{"a snapshot comes whole", snapshots},
}

// What needs users.
var claimsOfUsers = []claim{
	{"users and roles are managed", users},
	{"a user does what its roles allow, and nothing else", restricted},
	{"authentication is disabled and enabled", authentication},
}

func main() {
	authorities := flag.String("cacert", "", "authorities to trust, PEM; none: no TLS")
	certificate := flag.String("cert", "", "certificate to show, PEM")
	key := flag.String("key", "", "its key, PEM")
	user := flag.String("user", "", "who may do everything: name:password; none: nobody")
	other := flag.String("other", "", "who may do all with keys that begin with a, and nothing else")
	flag.Parse()
	arguments := flag.Args()
	isWriter := arguments[0] == "writes"
	if isWriter {
		arguments = arguments[1:]
	}
	config := clientv3.Config{
		Endpoints:   strings.Split(arguments[0], ","),
		DialTimeout: 30 * time.Second,
		Logger:      zap.NewNop(),
	}
	protection, err := protect(*authorities, *certificate, *key)
	if err == nil {
		config.TLS = protection
		config.Username, config.Password, _ = strings.Cut(*user, ":")
		if isWriter {
			err = writes(config)
		} else {
			others := config
			others.Username, others.Password, _ = strings.Cut(*other, ":")
			err = run(config, others)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// protect reads the files that TLS needs; nil without them.
func protect(authorities, certificate, key string) (*tls.Config, error) {
	if authorities == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(authorities)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", authorities)
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}, nil
}

func run(config, other clientv3.Config) error {
	client, err := clientv3.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	shown := &cluster{Client: client, config: config, other: other}
	for _, endpoint := range config.Endpoints {
		member, err := connect(ctx, at(config, endpoint))
		if err != nil {
			return err
		}
		shown.members = append(shown.members, member)
	}
	if err := shown.settle(ctx); err != nil {
		return err
	}
	all := claims
	if config.Username != "" {
		all = append(all, claimsOfUsers...)
	}
	for _, claim := range all {
		fmt.Println(claim.name)
		if err := claim.show(ctx, shown); err != nil {
			return fmt.Errorf("%s: %w", claim.name, err)
		}
	}
	return nil
}

// equal returns an error that says what was expected of what.
func equal[T comparable](what string, got, expected T) error {
	if got != expected {
		return fmt.Errorf("%s: got %v, expected %v", what, got, expected)
	}
	return nil
}

func keys(ctx context.Context, client *cluster) error {
	put, err := client.Put(ctx, "go/a", "1")
	if err != nil {
		return err
	}
	second, err := client.Put(ctx, "go/a", "2", clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	get, err := client.Get(ctx, "go/a")
	if err != nil {
		return err
	}
	old, err := client.Get(ctx, "go/a", clientv3.WithRev(put.Header.Revision))
	if err != nil {
		return err
	}
	deleted, err := client.Delete(ctx, "go/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	return errors.Join(
		equal("revision", second.Header.Revision, put.Header.Revision+1),
		equal("previous value", string(second.PrevKv.Value), "1"),
		equal("value", string(get.Kvs[0].Value), "2"),
		equal("version", get.Kvs[0].Version, 2),
		equal("old value", string(old.Kvs[0].Value), "1"),
		equal("deleted", deleted.Deleted, 1),
		equal("deleted value", string(deleted.PrevKvs[0].Value), "2"),
	)
}

func pages(ctx context.Context, client *cluster) error {
	const total, size = 25, 10
	for number := range total {
		if _, err := client.Put(ctx, fmt.Sprintf("go/page/%03d", number), "v"); err != nil {
			return err
		}
	}
	from, end := "go/page/", clientv3.GetPrefixRangeEnd("go/page/")
	var revision int64
	var found []string
	for {
		page, err := client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(size), clientv3.WithRev(revision))
		if err != nil {
			return err
		}
		if revision == 0 {
			revision = page.Header.Revision
			// What changes now is not in the pages.
			if _, err := client.Delete(ctx, "go/page/020"); err != nil {
				return err
			}
		}
		for _, pair := range page.Kvs {
			found = append(found, string(pair.Key))
		}
		if err := equal("count", page.Count, int64(total-len(found)+len(page.Kvs))); err != nil {
			return err
		}
		if !page.More {
			return equal("keys in all pages", len(found), total)
		}
		from = found[len(found)-1] + "\x00"
	}
}

func transactions(ctx context.Context, client *cluster) error {
	create := func() (*clientv3.TxnResponse, error) {
		return client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision("go/txn"), "=", 0)).
			Then(clientv3.OpPut("go/txn", "1")).
			Else(clientv3.OpGet("go/txn")).
			Commit()
	}
	first, err := create()
	if err != nil {
		return err
	}
	second, err := create()
	if err != nil {
		return err
	}
	inner := second.Responses[0].GetResponseRange()
	return errors.Join(
		equal("first", first.Succeeded, true),
		equal("second", second.Succeeded, false),
		equal("revision inside", first.Responses[0].GetResponsePut().Header.Revision, first.Header.Revision),
		equal("value", string(inner.Kvs[0].Value), "1"),
	)
}

func typedErrors(ctx context.Context, client *cluster) error {
	put, err := client.Put(ctx, "go/errors", "1")
	if err != nil {
		return err
	}
	_, future := client.Get(ctx, "go/errors", clientv3.WithRev(put.Header.Revision+1000))
	_, emptyKey := client.Put(ctx, "", "1")
	_, unknownLease := client.Put(ctx, "go/errors", "1", clientv3.WithLease(99))
	_, tooLarge := client.Put(ctx, "go/errors", strings.Repeat("x", 1_600_000))
	_, duplicate := client.Txn(ctx).Then(clientv3.OpPut("a", "1"), clientv3.OpPut("a", "2")).Commit()
	_, revoked := client.Revoke(ctx, 99)
	is := func(what string, got, expected error) error {
		if !errors.Is(got, expected) {
			return fmt.Errorf("%s: got %v, expected %v", what, got, expected)
		}
		return nil
	}
	return errors.Join(
		is("future", future, rpctypes.ErrFutureRev),
		is("empty key", emptyKey, rpctypes.ErrEmptyKey),
		is("unknown lease", unknownLease, rpctypes.ErrLeaseNotFound),
		is("too large", tooLarge, rpctypes.ErrRequestTooLarge),
		is("duplicate", duplicate, rpctypes.ErrDuplicateKey),
		is("revoke", revoked, rpctypes.ErrLeaseNotFound),
	)
}

func watches(ctx context.Context, client *cluster) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	const changes = 50
	first, err := client.Put(ctx, "go/watch", "0")
	if err != nil {
		return err
	}
	watch := client.Watch(ctx, "go/watch", clientv3.WithRev(first.Header.Revision), clientv3.WithPrevKV())
	for number := 1; number < changes; number++ {
		if _, err := client.Put(ctx, "go/watch", fmt.Sprint(number)); err != nil {
			return err
		}
	}
	next := 0
	for response := range watch {
		if err := response.Err(); err != nil {
			return err
		}
		for _, event := range response.Events {
			err := errors.Join(
				equal("type", event.Type, mvccpb.PUT),
				equal("value", string(event.Kv.Value), fmt.Sprint(next)),
				equal("revision", event.Kv.ModRevision, first.Header.Revision+int64(next)),
				equal("is new", event.IsCreate(), next == 0),
				equal("is changed", event.IsModify(), next > 0),
				equal("has a previous value", event.PrevKv != nil, next > 0),
			)
			if err != nil {
				return err
			}
			next++
		}
		if next == changes {
			return client.RequestProgress(ctx)
		}
	}
	return errors.New("the watch has ended")
}

func compactedWatch(ctx context.Context, client *cluster) error {
	first, err := client.Put(ctx, "go/compacted", "1")
	if err != nil {
		return err
	}
	second, err := client.Put(ctx, "go/compacted", "2")
	if err != nil {
		return err
	}
	if _, err := client.Compact(ctx, second.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		return err
	}
	for response := range client.Watch(ctx, "go/compacted", clientv3.WithRev(first.Header.Revision)) {
		if response.Canceled {
			return errors.Join(
				equal("compact revision", response.CompactRevision, second.Header.Revision),
				equal("error", response.Err(), error(rpctypes.ErrCompacted)),
			)
		}
	}
	return errors.New("the watch has ended without saying why")
}

func leases(ctx context.Context, client *cluster) error {
	grant, err := client.Grant(ctx, 60)
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, "go/leased", "1", clientv3.WithLease(grant.ID)); err != nil {
		return err
	}
	keepAliveCtx, stop := context.WithCancel(ctx)
	defer stop()
	answers, err := client.KeepAlive(keepAliveCtx, grant.ID)
	if err != nil {
		return err
	}
	answer := <-answers
	if answer == nil {
		return errors.New("the lease was lost")
	}
	stop()
	once, err := client.KeepAliveOnce(ctx, grant.ID)
	if err != nil {
		return err
	}
	info, err := client.TimeToLive(ctx, grant.ID, clientv3.WithAttachedKeys())
	if err != nil {
		return err
	}
	all, err := client.Leases(ctx)
	if err != nil {
		return err
	}
	if _, err := client.Revoke(ctx, grant.ID); err != nil {
		return err
	}
	get, err := client.Get(ctx, "go/leased")
	if err != nil {
		return err
	}
	_, lost := client.KeepAliveOnce(ctx, grant.ID)
	return errors.Join(
		equal("time to live", answer.TTL, 60),
		equal("time to live once", once.TTL, 60),
		equal("keys", len(info.Keys), 1),
		equal("leases", len(all.Leases), 1),
		equal("keys left", get.Count, 0),
		equal("keep alive of a revoked lease", lost, error(rpctypes.ErrLeaseNotFound)),
	)
}

func mutex(ctx context.Context, client *cluster) error {
	one, err := concurrency.NewSession(client.Client)
	if err != nil {
		return err
	}
	defer one.Close()
	two, err := concurrency.NewSession(client.Client)
	if err != nil {
		return err
	}
	defer two.Close()
	first, second := concurrency.NewMutex(one, "go/mutex"), concurrency.NewMutex(two, "go/mutex")
	if err := first.Lock(ctx); err != nil {
		return err
	}
	if err := equal("try", second.TryLock(ctx), concurrency.ErrLocked); err != nil {
		return err
	}
	locked := make(chan error, 1)
	go func() { locked <- second.Lock(ctx) }()
	if err := first.Unlock(ctx); err != nil {
		return err
	}
	if err := <-locked; err != nil {
		return err
	}
	return second.Unlock(ctx)
}

func election(ctx context.Context, client *cluster) error {
	one, err := concurrency.NewSession(client.Client)
	if err != nil {
		return err
	}
	two, err := concurrency.NewSession(client.Client)
	if err != nil {
		return err
	}
	defer two.Close()
	first, second := concurrency.NewElection(one, "go/election"), concurrency.NewElection(two, "go/election")
	if err := first.Campaign(ctx, "one"); err != nil {
		return err
	}
	elected := make(chan error, 1)
	go func() { elected <- second.Campaign(ctx, "two") }()
	leader, err := second.Leader(ctx)
	if err != nil {
		return err
	}
	if err := equal("leader", string(leader.Kvs[0].Value), "one"); err != nil {
		return err
	}
	// The lease of the first session takes its candidacy with it.
	if err := one.Close(); err != nil {
		return err
	}
	if err := <-elected; err != nil {
		return err
	}
	leader, err = first.Leader(ctx)
	if err != nil {
		return err
	}
	return errors.Join(equal("next leader", string(leader.Kvs[0].Value), "two"), second.Resign(ctx))
}

func transactionalMemory(ctx context.Context, client *cluster) error {
	const workers, rounds = 4, 10
	failed := make(chan error, workers)
	for range workers {
		go func() {
			for range rounds {
				_, err := concurrency.NewSTM(client.Client, func(memory concurrency.STM) error {
					memory.Put("go/sum", memory.Get("go/sum")+"x")
					return nil
				})
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range workers {
		if err := <-failed; err != nil {
			return err
		}
	}
	sum, err := client.Get(ctx, "go/sum")
	if err != nil {
		return err
	}
	return equal("sum", len(sum.Kvs[0].Value), workers*rounds)
}

func members(ctx context.Context, client *cluster) error {
	list, err := client.MemberList(ctx)
	if err != nil {
		return err
	}
	endpoints := client.Endpoints()
	if err := equal("members", len(list.Members), len(endpoints)); err != nil {
		return err
	}
	leaders := map[uint64]bool{}
	for _, endpoint := range endpoints {
		status, err := client.Status(ctx, endpoint)
		if err != nil {
			return err
		}
		leaders[status.Leader] = true
		hash, err := client.HashKV(ctx, endpoint, 0)
		if err != nil {
			return err
		}
		if err := equal("member id", status.Header.MemberId, hash.Header.MemberId); err != nil {
			return err
		}
	}
	// Sync takes the endpoints from the list of members.
	if err := client.Sync(ctx); err != nil {
		return err
	}
	return errors.Join(
		equal("leaders", len(leaders), 1),
		equal("endpoints", len(client.Endpoints()), len(endpoints)),
	)
}
