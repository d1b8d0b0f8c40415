package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// The shortest that there is.
	sessionTTL = "10s"
	lockDelay  = 2 * time.Second
	// How long a contender of a semaphore holds its place, and how often it gets one before and after the death.
	held   = 200 * time.Millisecond
	rounds = 4
	limit  = 2
	// How often a monitor of a lock asks again, every two seconds, before it gives up.
	retries = 10
)

func sessions(members *cluster) error {
	one, two := members.one.Session(), members.two.Session()
	id, _, err := one.Create(&api.SessionEntry{
		Name: "go", TTL: "30s", LockDelay: lockDelay, Behavior: api.SessionBehaviorDelete,
	}, nil)
	if err != nil {
		return err
	}
	other, _, err := two.CreateNoChecks(&api.SessionEntry{TTL: sessionTTL}, nil)
	if err != nil {
		return err
	}
	info, _, err := two.Info(id, nil)
	if err != nil {
		return err
	}
	bare, _, err := one.Info(other, nil)
	if err != nil {
		return err
	}
	ofNode, _, err := two.Node(info.Node, nil)
	if err != nil {
		return err
	}
	all, _, err := members.three.Session().List(nil)
	if err != nil {
		return err
	}
	renewed, _, err := members.three.Session().Renew(id, nil)
	if err != nil {
		return err
	}
	err = errors.Join(
		equal("name", info.Name, "go"),
		equal("ttl", info.TTL, "30s"),
		equal("delay", info.LockDelay, lockDelay),
		equal("behavior", info.Behavior, api.SessionBehaviorDelete),
		equal("checks", fmt.Sprint(info.NodeChecks), "[serfHealth]"),
		equal("no checks", len(bare.NodeChecks), 0),
		equal("sessions of the node", len(ofNode), 1),
		equal("sessions", len(all), 2),
		equal("renewed", renewed.ID, id),
	)
	if err != nil {
		return err
	}
	// Kept alive by the library until it is told to stop; then it ends it.
	stop, kept := make(chan struct{}), make(chan error, 1)
	go func() { kept <- one.RenewPeriodic("30s", id, nil, stop) }()
	kv := members.two.KV()
	pair := &api.KVPair{Key: "go/session", Value: []byte("1"), Session: id}
	taken, _, err := kv.Acquire(pair, nil)
	if err != nil {
		return err
	}
	contended, _, err := kv.Acquire(&api.KVPair{Key: "go/session", Session: other}, nil)
	if err != nil {
		return err
	}
	released, _, err := kv.Release(&api.KVPair{Key: "go/session", Session: other}, nil)
	if err != nil {
		return err
	}
	close(stop)
	if err := <-kept; err != nil {
		return err
	}
	gone, _, err := kv.Get("go/session", nil)
	if err != nil {
		return err
	}
	if _, err := two.Destroy(other, nil); err != nil {
		return err
	}
	left, _, err := one.Info(id, nil)
	if err != nil {
		return err
	}
	lost, _, err := one.Renew(id, nil)
	if err != nil {
		return err
	}
	_, _, unknown := kv.Acquire(pair, nil)
	_, _, tooShort := one.Create(&api.SessionEntry{TTL: "1s"}, nil)
	return errors.Join(
		equal("taken", taken, true),
		equal("taken by another", contended, false),
		equal("released by another", released, false),
		equal("the key went with its session", gone == nil, true),
		equal("the session is gone", left == nil && lost == nil, true),
		refusal("a session that is gone", unknown, "invalid session"),
		refusal("a time that is too short", tooShort, "Invalid Session TTL"),
	)
}

func lockErrors(members *cluster) error {
	first, err := members.one.LockKey("go/lock-errors")
	if err != nil {
		return err
	}
	lost, err := first.Lock(nil)
	if err != nil {
		return err
	}
	tries := &api.LockOptions{Key: "go/lock-errors", LockTryOnce: true, LockWaitTime: 100 * time.Millisecond}
	second, err := members.two.LockOpts(tries)
	if err != nil {
		return err
	}
	refused, err := second.Lock(nil)
	if err != nil {
		return err
	}
	_, twice := first.Lock(nil)
	inUse, notHeld := second.Destroy(), second.Unlock()
	if err := first.Unlock(); err != nil {
		return err
	}
	<-lost
	semaphore, err := members.two.SemaphorePrefix("go/lock-errors-of", limit)
	if err != nil {
		return err
	}
	if _, err := semaphore.Acquire(nil); err != nil {
		return err
	}
	mixed, err := members.three.LockKey("go/lock-errors-of/" + api.DefaultSemaphoreKey)
	if err != nil {
		return err
	}
	_, conflict := mixed.Lock(nil)
	return errors.Join(
		equal("refused", refused == nil, true),
		equal("locked twice", twice, api.ErrLockHeld),
		equal("destroyed in use", inUse, api.ErrLockInUse),
		equal("unlocked by another", notHeld, api.ErrLockNotHeld),
		equal("a semaphore", conflict, api.ErrLockConflict),
		semaphore.Release(),
		semaphore.Destroy(),
		second.Destroy(),
	)
}

func semaphoreErrors(members *cluster) error {
	var all []*api.Semaphore
	for _, client := range []*api.Client{members.one, members.two, members.three} {
		semaphore, err := client.SemaphoreOpts(&api.SemaphoreOptions{
			Prefix: "go/semaphore-errors", Limit: limit, SemaphoreTryOnce: true, SemaphoreWaitTime: 100 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		all = append(all, semaphore)
	}
	for number, semaphore := range all {
		lost, err := semaphore.Acquire(nil)
		if err := errors.Join(err, equal("has a place", lost != nil, number < limit)); err != nil {
			return err
		}
	}
	_, twice := all[0].Acquire(nil)
	other, err := members.one.SemaphorePrefix("go/semaphore-errors", limit+1)
	if err != nil {
		return err
	}
	_, otherLimit := other.Acquire(nil)
	return errors.Join(
		equal("acquired twice", twice, api.ErrSemaphoreHeld),
		equal("released without a place", all[2].Release(), api.ErrSemaphoreNotHeld),
		equal("destroyed in use", all[2].Destroy(), api.ErrSemaphoreInUse),
		refusal("another limit", otherLimit, "semaphore limit conflict"),
		all[0].Release(),
		all[1].Release(),
		all[2].Destroy(),
	)
}

// holders counts who believes to hold something.
type holders struct{ now, most atomic.Int64 }

func (holders *holders) enter() {
	now := holders.now.Add(1)
	for most := holders.most.Load(); now > most && !holders.most.CompareAndSwap(most, now); {
		most = holders.most.Load()
	}
}

func (holders *holders) leave() { holders.now.Add(-1) }

// lockThroughDeath: the holder is told that it lost the lock when its member is killed, and only then the other gets it.
func lockThroughDeath(members *cluster) error {
	var holding holders
	lockOf := func(client *api.Client, value string) (*api.Lock, error) {
		return client.LockOpts(&api.LockOptions{
			Key: "go/lock/" + members.addresses[0], Value: []byte(value), SessionTTL: sessionTTL, LockDelay: lockDelay,
		})
	}
	first, err := lockOf(members.one, "first")
	if err != nil {
		return err
	}
	lost, err := first.Lock(nil)
	if err != nil {
		return err
	}
	holding.enter()
	// Whose member lives keeps what it has, if it rides out the loss of the leader.
	kept, err := members.three.LockOpts(&api.LockOptions{
		Key: "go/kept/" + members.addresses[0], SessionTTL: sessionTTL, MonitorRetries: retries,
	})
	if err != nil {
		return err
	}
	keptLost, err := kept.Lock(nil)
	if err != nil {
		return err
	}
	second, err := lockOf(members.two, "second")
	if err != nil {
		return err
	}
	taken := make(chan error, 1)
	var secondLost <-chan struct{}
	go func() {
		for {
			var err error
			if secondLost, err = second.Lock(nil); err == nil {
				holding.enter()
				taken <- nil
				return
			}
			// The library gives up when a read fails, as it may while there is no leader.
			if !api.IsRetryableError(err) {
				taken <- err
				return
			}
		}
	}()
	if err := killFirst(); err != nil {
		return err
	}
	select {
	case <-lost:
		holding.leave()
	case err := <-taken:
		return fmt.Errorf("the other one has the lock before the first knows that it lost it: %v", err)
	}
	if err := <-taken; err != nil {
		return err
	}
	pair, _, err := members.three.KV().Get("go/lock/"+members.addresses[0], nil)
	if err != nil {
		return err
	}
	err = errors.Join(
		equal("value", string(pair.Value), "second"),
		equal("holders so far", pair.LockIndex, 2),
		equal("holders at a time", holding.most.Load(), 1),
	)
	if err != nil {
		return err
	}
	select {
	case <-keptLost:
		return errors.New("a lock was lost whose member lives")
	default:
	}
	if err := kept.Unlock(); err != nil {
		return err
	}
	if first.Unlock() == nil {
		return errors.New("the first unlocked through a member that is dead")
	}
	// Unlocked by its holder, it is free at once.
	third, err := lockOf(members.three, "third")
	if err != nil {
		return err
	}
	next := make(chan error, 1)
	go func() {
		_, err := third.Lock(nil)
		next <- err
	}()
	if err := second.Unlock(); err != nil {
		return err
	}
	<-secondLost
	return errors.Join(<-next, third.Unlock(), third.Destroy())
}

// semaphoreThroughDeath: contenders that take turns, each at a member; who loses its member goes on at the next.
func semaphoreThroughDeath(members *cluster) error {
	const contenders = 4
	var holding holders
	stop, failed := make(chan struct{}), make(chan error, contenders+1)
	turns := make([]atomic.Int64, contenders)
	var running sync.WaitGroup
	for number := range contenders {
		running.Go(func() {
			for member := number; ; member++ {
				client, err := connect(members.addresses[member%len(members.addresses)], "")
				if err != nil {
					failed <- err
					return
				}
				takeTurns(client, &holding, &turns[number], stop)
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	running.Go(func() { failed <- inspect(members.three, stop) })
	further := func() error {
		targets := make([]int64, contenders)
		for number := range turns {
			targets[number] = turns[number].Load() + rounds
		}
		return until("turns", func() (bool, error) {
			select {
			case err := <-failed:
				return false, err
			default:
			}
			for number := range turns {
				if turns[number].Load() < targets[number] {
					return false, nil
				}
			}
			return true, nil
		})
	}
	if err := further(); err != nil {
		return err
	}
	if err := killFirst(); err != nil {
		return err
	}
	if err := further(); err != nil {
		return err
	}
	close(stop)
	running.Wait()
	return errors.Join(<-failed, equal("holders at a time", holding.most.Load(), limit))
}

// takeTurns acquires, holds and releases until something fails, or it shall stop.
func takeTurns(client *api.Client, holding *holders, turns *atomic.Int64, stop <-chan struct{}) {
	semaphore, err := client.SemaphoreOpts(&api.SemaphoreOptions{
		Prefix: "go/semaphore", Limit: limit, SessionTTL: sessionTTL, SemaphoreWaitTime: time.Second,
	})
	if err != nil {
		return
	}
	for {
		lost, err := semaphore.Acquire(stop)
		if err != nil || lost == nil {
			return
		}
		holding.enter()
		select {
		case <-lost:
		case <-time.After(held):
			turns.Add(1)
		}
		holding.leave()
		if semaphore.Release() != nil {
			return
		}
	}
}

// inspect reads who has a place until it shall stop; never more are written down than there are places.
func inspect(client *api.Client, stop <-chan struct{}) error {
	options := &api.QueryOptions{WaitTime: time.Second}
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		pair, meta, err := client.KV().Get(path.Join("go/semaphore", api.DefaultSemaphoreKey), options)
		if err != nil {
			// There is no leader for a moment.
			time.Sleep(pause)
			continue
		}
		options.WaitIndex = meta.LastIndex
		if pair == nil {
			continue
		}
		var places struct{ Holders map[string]bool }
		if err := json.Unmarshal(pair.Value, &places); err != nil {
			return err
		}
		if len(places.Holders) > limit {
			return fmt.Errorf("%d have a place: %s", len(places.Holders), pair.Value)
		}
	}
}
