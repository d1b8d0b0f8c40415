package main

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

// leaseOptions shows leases with keys, without, and those that are gone.
func leaseOptions(ctx context.Context, c *cluster) error {
	grant := see(c.Grant(ctx, 600))
	if grant == nil {
		return errors.New("no lease was granted")
	}
	see(c.Grant(ctx, 9_000_000_001))
	see(c.Put(ctx, "go/leased/b", "1", clientv3.WithLease(grant.ID)))
	see(c.Put(ctx, "go/leased/a", "1", clientv3.WithLease(grant.ID)))
	see(c.Get(ctx, "go/leased/", clientv3.WithPrefix()))
	see(settledTimeToLive(ctx, c, c, grant.ID))
	see(settledKeepAlive(ctx, c, c, grant.ID))
	see(c.Put(ctx, "go/leased/b", "2"))
	see(settledTimeToLive(ctx, c, c, grant.ID, clientv3.WithAttachedKeys()))

	lessor := clientv3.NewLease(c.Client)
	if err := c.settle(ctx); err != nil {
		return err
	}
	kept, err := lessor.KeepAlive(ctx, grant.ID)
	if err != nil {
		return err
	}
	see(<-kept, nil)
	if err := lessor.Close(); err != nil {
		return err
	}
	for range kept {
	}

	see(c.Revoke(ctx, grant.ID))
	see(c.Revoke(ctx, grant.ID))
	see(settledKeepAlive(ctx, c, c, grant.ID))
	see(settledTimeToLive(ctx, c, c, grant.ID))
	see(c.Get(ctx, "go/leased/", clientv3.WithPrefix()))
	return nil
}

// settledTimeToLive asks when every member has applied what was acknowledged before: the answer has the revision of the
// member that is asked.
func settledTimeToLive(
	ctx context.Context, c *cluster, leases clientv3.Lease, id clientv3.LeaseID, options ...clientv3.LeaseOption,
) (*clientv3.LeaseTimeToLiveResponse, error) {
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	return leases.TimeToLive(ctx, id, options...)
}

// settledKeepAlive is the same for a lease that is kept alive.
func settledKeepAlive(
	ctx context.Context, c *cluster, leases clientv3.Lease, id clientv3.LeaseID,
) (*clientv3.LeaseKeepAliveResponse, error) {
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	return leases.KeepAliveOnce(ctx, id)
}

// contests shows what sessions, locks and elections offer beyond the claims about them.
func contests(ctx context.Context, c *cluster) error {
	lease, err := c.Grant(ctx, 600)
	if err != nil {
		return err
	}
	one, err := concurrency.NewSession(c.Client, concurrency.WithLease(lease.ID), concurrency.WithContext(ctx))
	if err != nil {
		return err
	}
	two, err := concurrency.NewSession(c.Client, concurrency.WithTTL(600))
	if err != nil {
		return err
	}
	seeOutcome(fmt.Sprint(one.Lease() == lease.ID, one.Client() == c.Client, one.Ctx().Err()), nil)

	mutex := concurrency.NewMutex(one, "go/contest/mutex")
	seeOutcome("lock", mutex.Lock(ctx))
	see(mutex.Header(), nil)
	// Without a read a member may answer at once, from what it has applied.
	see(c.Txn(ctx).If(mutex.IsOwner()).Then(clientv3.OpGet("go/contest/none")).Commit())
	other := concurrency.NewMutex(two, "go/contest/mutex")
	seeOutcome("try", other.TryLock(ctx))
	seeOutcome(fmt.Sprint("its key is under its name: ", len(mutex.Key()) > len("go/contest/mutex/")), nil)
	seeOutcome("unlock", mutex.Unlock(ctx))
	seeOutcome("unlock", mutex.Unlock(ctx))
	locker := concurrency.NewLocker(two, "go/contest/mutex")
	locker.Lock()
	locker.Unlock()

	election := concurrency.NewElection(one, "go/contest/election")
	_, err = election.Leader(ctx)
	seeOutcome("leader", err)
	observing, stop := context.WithCancel(ctx)
	defer stop()
	leaders := election.Observe(observing)
	seeOutcome("campaign", election.Campaign(ctx, "one"))
	observed := func() {
		answer := <-leaders
		for _, pair := range answer.Kvs {
			seeOutcome("leader "+string(pair.Value), nil)
		}
	}
	observed()
	seeOutcome("proclaim", election.Proclaim(ctx, "still one"))
	observed()
	see(election.Header(), nil)
	resumed := concurrency.ResumeElection(one, "go/contest/election", election.Key(), election.Rev())
	seeOutcome("proclaim", resumed.Proclaim(ctx, "one again"))
	observed()
	seeOutcome("resign", resumed.Resign(ctx))
	seeOutcome("proclaim", resumed.Proclaim(ctx, "none"))

	one.Orphan()
	<-one.Done()
	see(settledTimeToLive(ctx, c, c, lease.ID))
	see(c.Revoke(ctx, lease.ID))
	return two.Close()
}

// isolations shows software transactional memory with each isolation.
func isolations(ctx context.Context, c *cluster) error {
	for _, isolation := range []concurrency.Isolation{
		concurrency.SerializableSnapshot, concurrency.Serializable,
		concurrency.RepeatableReads, concurrency.ReadCommitted,
	} {
		answer, err := concurrency.NewSTM(c.Client, func(memory concurrency.STM) error {
			memory.Get("go/isolation/a")
			memory.Put("go/isolation/a", fmt.Sprint(isolation))
			memory.Put("go/isolation/b", fmt.Sprint(memory.Rev("go/isolation/a") > 0))
			memory.Del("go/isolation/c")
			return nil
		}, concurrency.WithIsolation(isolation), concurrency.WithAbortContext(ctx),
			concurrency.WithPrefetch("go/isolation/a", "go/isolation/b"))
		// The order of its writes is that of an unordered map.
		seeOutcome(fmt.Sprint("memory ", err == nil && answer.Succeeded), err)
	}
	// What it reads may be old where it need not be repeatable, so nothing is made of it.
	setting := func(memory concurrency.STM) error {
		memory.Get("go/isolation/a")
		memory.Put("go/isolation/a", "set")
		return nil
	}
	see(concurrency.NewSTMRepeatable(ctx, c.Client, setting))
	see(concurrency.NewSTMSerializable(ctx, c.Client, setting))
	see(concurrency.NewSTMReadCommitted(ctx, c.Client, setting))
	_, err := concurrency.NewSTM(c.Client, func(concurrency.STM) error { return errors.New("given up") })
	seeOutcome("memory", err)
	see(c.Get(ctx, "go/isolation/", clientv3.WithPrefix()))
	return nil
}

// recipes shows the queues, barriers and locks that are built on all of this.
func recipes(ctx context.Context, c *cluster) error {
	queue := recipe.NewQueue(c.Client, "go/recipe/queue")
	seeOutcome("enqueue", queue.Enqueue("first"))
	seeOutcome("enqueue", queue.Enqueue("second"))
	see(queue.Dequeue())
	see(queue.Dequeue())

	urgent := recipe.NewPriorityQueue(c.Client, "go/recipe/urgent")
	seeOutcome("enqueue", urgent.Enqueue("later", 2))
	seeOutcome("enqueue", urgent.Enqueue("now", 1))
	see(urgent.Dequeue())
	see(urgent.Dequeue())

	barrier := recipe.NewBarrier(c.Client, "go/recipe/barrier")
	seeOutcome("hold", barrier.Hold())
	seeOutcome("hold", barrier.Hold())
	waited := make(chan error)
	go func() { waited <- recipe.NewBarrier(c.Client, "go/recipe/barrier").Wait() }()
	seeOutcome("release", barrier.Release())
	seeOutcome("wait", <-waited)

	var sessions []*concurrency.Session
	for range 2 {
		session, err := concurrency.NewSession(c.Client)
		if err != nil {
			return err
		}
		sessions = append(sessions, session)
	}
	both := make(chan error)
	for _, session := range sessions {
		go func() {
			double := recipe.NewDoubleBarrier(session, "go/recipe/double", 2)
			both <- errors.Join(double.Enter(), double.Leave())
		}()
	}
	seeOutcome("both", errors.Join(<-both, <-both))

	mutex := recipe.NewRWMutex(sessions[0], "go/recipe/mutex")
	another := recipe.NewRWMutex(sessions[1], "go/recipe/mutex")
	seeOutcome("two read", errors.Join(mutex.RLock(), another.RLock()))
	seeOutcome("neither reads", errors.Join(mutex.RUnlock(), another.RUnlock()))
	seeOutcome("one writes", errors.Join(mutex.Lock(), mutex.Unlock()))

	put, err := c.Put(ctx, "go/recipe/waited", "1")
	if err != nil {
		return err
	}
	puts := []mvccpb.Event_EventType{mvccpb.PUT}
	see(recipe.WaitEvents(c.Client, "go/recipe/waited", put.Header.Revision, puts))
	see(recipe.WaitPrefixEvents(c.Client, "go/recipe/waited", put.Header.Revision, puts))
	return errors.Join(sessions[0].Close(), sessions[1].Close())
}
