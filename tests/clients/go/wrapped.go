package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"go.etcd.io/etcd/client/v3/ordering"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func namespaces(ctx context.Context, c *cluster) error {
	kv := namespace.NewKV(c.KV, "go/namespace/")
	watcher := namespace.NewWatcher(c.Watcher, "go/namespace/")
	leases := namespace.NewLease(c.Lease, "go/namespace/")
	grant, err := leases.Grant(ctx, 600)
	if err != nil {
		return err
	}
	first := see(kv.Put(ctx, "a", "1", clientv3.WithLease(grant.ID)))
	if first == nil {
		return errors.New("nothing was put")
	}
	see(kv.Put(ctx, "a", "2", clientv3.WithPrevKV()))
	see(kv.Get(ctx, "", clientv3.WithPrefix()))
	see(kv.Get(ctx, "\x00", clientv3.WithFromKey()))
	see(kv.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("a"), "=", "2")).
		Then(clientv3.OpPut("b", "1", clientv3.WithLease(grant.ID)), clientv3.OpGet("a"), clientv3.OpDelete("c")).
		Else(clientv3.OpGet("b")).
		Commit())
	answer, err := kv.Do(ctx, clientv3.OpGet("b"))
	see(answer.Get(), err)
	watching, stop := context.WithCancel(ctx)
	err = take(watcher.Watch(watching, "", clientv3.WithPrefix(), clientv3.WithRev(first.Header.Revision)), 3)
	stop()
	if err != nil {
		return err
	}
	if err := namespace.NewWatcher(clientv3.NewWatcher(c.Client), "go/namespace/").Close(); err != nil {
		return err
	}
	see(settledTimeToLive(ctx, c, leases, grant.ID, clientv3.WithAttachedKeys()))
	see(kv.Delete(ctx, "", clientv3.WithPrefix(), clientv3.WithPrevKV()))
	see(c.Get(ctx, "go/namespace/", clientv3.WithPrefix()))
	see(leases.Revoke(ctx, grant.ID))
	return nil
}

func orderings(ctx context.Context, c *cluster) error {
	kv := ordering.NewKV(c.KV, ordering.NewOrderViolationSwitchEndpointClosure(c.Client))
	see(kv.Put(ctx, "go/ordered", "1"))
	see(kv.Get(ctx, "go/ordered"))
	// Any member may be asked, and one that is behind is asked no more.
	for range len(c.Endpoints()) {
		see(kv.Get(ctx, "go/ordered", clientv3.WithSerializable()))
	}
	see(kv.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("go/ordered"), "=", "1")).
		Then(clientv3.OpGet("go/ordered")).
		Else(clientv3.OpDelete("go/ordered")).
		Commit())
	see(kv.Delete(ctx, "go/ordered"))
	return nil
}

func leasings(ctx context.Context, c *cluster) error {
	kv, end, err := leasing.NewKV(c.Client, "go/leasing/")
	if err != nil {
		return err
	}
	other, endOther, err := leasing.NewKV(c.Client, "go/leasing/")
	if err != nil {
		return err
	}
	// Its own transactions differ from those of a plain client: only what they do is shown.
	value := func(get *clientv3.GetResponse, err error) {
		if err != nil {
			seeOutcome("get", err)
			return
		}
		for _, pair := range get.Kvs {
			seeOutcome(fmt.Sprintf("%s %s", pair.Key, pair.Value), nil)
		}
	}
	_, err = kv.Put(ctx, "go/leased-key", "1")
	seeOutcome("put", err)
	value(kv.Get(ctx, "go/leased-key"))
	value(kv.Get(ctx, "go/leased-key"))
	// Whoever writes takes the lease of the key away first.
	_, err = other.Put(ctx, "go/leased-key", "2")
	seeOutcome("put", err)
	value(kv.Get(ctx, "go/leased-key"))
	txn, err := kv.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("go/leased-key"), "=", "2")).
		Then(clientv3.OpPut("go/leased-key", "3"), clientv3.OpGet("go/leased-key")).
		Else(clientv3.OpGet("go/leased-key")).
		Commit()
	seeOutcome(fmt.Sprint("transaction ", err == nil && txn.Succeeded), err)
	answer, err := kv.Do(ctx, clientv3.OpGet("go/leased-key"))
	value(answer.Get(), err)
	_, err = kv.Delete(ctx, "go/leased-key")
	seeOutcome("delete", err)
	_, err = kv.Delete(ctx, "go/leased", clientv3.WithPrefix())
	seeOutcome("delete", err)
	latest, err := c.Get(ctx, "go/leased-key")
	if err != nil {
		return err
	}
	_, err = kv.Compact(ctx, latest.Header.Revision)
	seeOutcome("compact", err)
	end()
	endOther()
	return nil
}

func mirrors(ctx context.Context, c *cluster) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for number := range 3 {
		if _, err := c.Put(ctx, fmt.Sprintf("go/mirror/%d", number), "1"); err != nil {
			return err
		}
	}
	latest, err := c.Get(ctx, "go/mirror/0")
	if err != nil {
		return err
	}
	syncer := mirror.NewSyncer(c.Client, "go/mirror/", latest.Header.Revision)
	base, failed := syncer.SyncBase(ctx)
	for answer := range base {
		see(answer, nil)
	}
	if err := <-failed; err != nil {
		return err
	}
	updates := syncer.SyncUpdates(ctx)
	if _, err := c.Put(ctx, "go/mirror/3", "1"); err != nil {
		return err
	}
	if _, err := c.Delete(ctx, "go/mirror/0"); err != nil {
		return err
	}
	return take(updates, 2)
}

// names registers the first member as a service, and asks for its health under that name.
func names(ctx context.Context, c *cluster) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	manager, err := endpoints.NewManager(c.Client, "go/service")
	if err != nil {
		return err
	}
	updates, err := manager.NewWatchChannel(ctx)
	if err != nil {
		return err
	}
	address := hostAndPort(c.Endpoints()[0])
	seeOutcome("add", manager.AddEndpoint(ctx, "go/service/one", endpoints.Endpoint{Addr: address, Metadata: "first"}))
	seeOutcome("update", manager.Update(ctx, []*endpoints.UpdateWithOpts{
		endpoints.NewAddUpdateOpts("go/service/two", endpoints.Endpoint{Addr: address}),
		endpoints.NewAddUpdateOpts("go/service/three", endpoints.Endpoint{Addr: address}),
	}))
	seeOutcome("delete", manager.Update(ctx, []*endpoints.UpdateWithOpts{endpoints.NewDeleteUpdateOpts("go/service/three")}))
	seeOutcome("delete", manager.DeleteEndpoint(ctx, "go/service/two"))
	for remaining := 5; remaining > 0; {
		for _, update := range <-updates {
			seeOutcome(fmt.Sprintf("%v %s %v", update.Op, update.Key, update.Endpoint.Metadata), nil)
			remaining--
		}
	}
	// The library asks any member for what it has itself, and that may lag.
	list, err := manager.List(ctx)
	for err == nil && len(list) > 1 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
		list, err = manager.List(ctx)
	}
	seeOutcome(fmt.Sprint(len(list), " is left: ", list["go/service/one"].Metadata), err)

	builder, err := resolver.NewBuilder(c.Client)
	if err != nil {
		return err
	}
	protection := insecure.NewCredentials()
	if c.config.TLS != nil {
		protection = credentials.NewTLS(c.config.TLS)
	}
	connection, err := grpc.NewClient("etcd:///go/service",
		grpc.WithResolvers(builder), grpc.WithTransportCredentials(protection), grpc.WithAuthority("localhost"))
	if err != nil {
		return err
	}
	health, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{},
		grpc.WaitForReady(true))
	see(health.GetStatus(), err)
	return connection.Close()
}

func kubernetesCalls(ctx context.Context, c *cluster) error {
	client, err := kubernetes.New(c.config)
	if err != nil {
		return err
	}
	defer client.Close()
	created := see(client.OptimisticPut(ctx, "go/kubernetes/a", []byte("1"), 0, kubernetes.PutOptions{}))
	see(client.OptimisticPut(ctx, "go/kubernetes/a", []byte("2"), 0, kubernetes.PutOptions{GetOnFailure: true}))
	see(client.OptimisticPut(ctx, "go/kubernetes/a", []byte("2"), created.Revision, kubernetes.PutOptions{}))
	see(client.OptimisticPut(ctx, "go/kubernetes/b", []byte("1"), 0, kubernetes.PutOptions{}))
	see(client.Get(ctx, "go/kubernetes/a", kubernetes.GetOptions{}))
	see(client.Get(ctx, "go/kubernetes/a", kubernetes.GetOptions{Revision: created.Revision}))
	see(client.List(ctx, "go/kubernetes/", kubernetes.ListOptions{Limit: 1}))
	see(client.List(ctx, "go/kubernetes/", kubernetes.ListOptions{Continue: "go/kubernetes/a\x00"}))
	see(client.Count(ctx, "go/kubernetes/", kubernetes.CountOptions{}))
	see(client.OptimisticDelete(ctx, "go/kubernetes/a", created.Revision, kubernetes.DeleteOptions{GetOnFailure: true}))
	see(client.OptimisticDelete(ctx, "go/kubernetes/b", created.Revision+2, kubernetes.DeleteOptions{}))
	return nil
}

// hostAndPort is what follows the scheme of an endpoint.
func hostAndPort(endpoint string) string {
	_, address, _ := strings.Cut(endpoint, "://")
	return address
}
