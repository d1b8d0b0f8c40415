package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"
)

func keys(members *cluster) error {
	one, two, three := members.one.KV(), members.two.KV(), members.three.KV()
	missing, meta, err := one.Get("go/keys/none", nil)
	if err != nil {
		return err
	}
	if missing != nil || meta.LastIndex == 0 || !meta.KnownLeader {
		return fmt.Errorf("a key that is not there: %v, %+v", missing, meta)
	}
	pairs := map[string][]byte{
		"go/keys/a":         []byte("first"),
		"go/keys/b/ü and %": {0, 1, 254, 255},
		"go/keys/b/c":       {},
	}
	for key, value := range pairs {
		if _, err := one.Put(&api.KVPair{Key: key, Value: value, Flags: 1<<64 - 1}, nil); err != nil {
			return err
		}
	}
	for key, value := range pairs {
		for _, options := range []*api.QueryOptions{nil, {RequireConsistent: true}} {
			pair, meta, err := two.Get(key, options)
			if err != nil {
				return err
			}
			err = errors.Join(
				equal(key, string(pair.Value), string(value)),
				equal("flags", pair.Flags, uint64(1<<64-1)),
				equal("index", meta.LastIndex, pair.ModifyIndex),
				equal("created", pair.CreateIndex, pair.ModifyIndex),
				equal("session", pair.Session, ""),
			)
			if err != nil {
				return err
			}
		}
	}
	// What this member alone knows may be older, and comes in the end.
	err = until("a stale read", func() (bool, error) {
		pair, _, err := three.Get("go/keys/a", &api.QueryOptions{AllowStale: true})
		return pair != nil && string(pair.Value) == "first", err
	})
	if err != nil {
		return err
	}
	listed, _, err := three.List("go/keys/", nil)
	if err != nil {
		return err
	}
	var names []string
	for _, pair := range listed {
		names = append(names, pair.Key)
	}
	all, _, err := two.Keys("go/keys/", "", nil)
	if err != nil {
		return err
	}
	folders, _, err := two.Keys("go/keys/", "/", nil)
	if err != nil {
		return err
	}
	err = errors.Join(
		equal("listed", fmt.Sprint(names), "[go/keys/a go/keys/b/c go/keys/b/ü and %]"),
		equal("keys", slices.Equal(all, names), true),
		equal("folders", fmt.Sprint(folders), "[go/keys/a go/keys/b/]"),
	)
	if err != nil {
		return err
	}
	if _, err := one.Delete("go/keys/a", nil); err != nil {
		return err
	}
	if _, err := three.DeleteTree("go/keys/b/", nil); err != nil {
		return err
	}
	left, _, err := two.List("go/keys/", nil)
	if err != nil {
		return err
	}
	_, tooLarge := one.Put(&api.KVPair{Key: "go/keys/large", Value: make([]byte, 512<<10+1)}, nil)
	_, leading := one.Put(&api.KVPair{Key: "/go/keys"}, nil)
	return errors.Join(
		equal("left", len(left), 0),
		refusal("a value that is too large", tooLarge, "413"),
		refusal("a key that begins with a slash", leading, "must not begin with"),
	)
}

func comparisons(members *cluster) error {
	one, two := members.one.KV(), members.two.KV()
	created, _, err := one.CAS(&api.KVPair{Key: "go/cas", Value: []byte("1")}, nil)
	if err != nil {
		return err
	}
	again, _, err := two.CAS(&api.KVPair{Key: "go/cas", Value: []byte("2")}, nil)
	if err != nil {
		return err
	}
	seen, _, err := two.Get("go/cas", nil)
	if err != nil {
		return err
	}
	next := &api.KVPair{Key: "go/cas", Value: []byte("3"), ModifyIndex: seen.ModifyIndex}
	changed, _, err := two.CAS(next, nil)
	if err != nil {
		return err
	}
	outdated, _, err := one.CAS(next, nil)
	if err != nil {
		return err
	}
	keptBack, _, err := one.DeleteCAS(seen, nil)
	if err != nil {
		return err
	}
	seen, _, err = one.Get("go/cas", nil)
	if err != nil {
		return err
	}
	deleted, _, err := two.DeleteCAS(seen, nil)
	return errors.Join(
		err,
		equal("created", created, true),
		equal("created again", again, false),
		equal("changed", changed, true),
		equal("changed again", outdated, false),
		equal("deleted as it was before", keptBack, false),
		equal("value", string(seen.Value), "3"),
		equal("deleted", deleted, true),
	)
}

func transactions(members *cluster) error {
	value := []byte("1")
	done, answer, _, err := members.one.Txn().Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: "go/txn/a"}},
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "go/txn/a", Value: value, Flags: 7}},
		{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "go/txn/a"}},
		{KV: &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: "go/txn/none"}},
	}, nil)
	if err != nil {
		return err
	}
	if !done || len(answer.Results) != 3 || len(answer.Errors) != 0 {
		return fmt.Errorf("the first: %v, %+v", done, answer)
	}
	found := answer.Results[1].KV
	rolledBack, refusals, _, err := members.two.Txn().Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "go/txn/b", Value: value}},
		{KV: &api.KVTxnOp{Verb: api.KVCAS, Key: "go/txn/a", Value: value, Index: found.ModifyIndex - 1}},
		{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "go/txn/none"}},
	}, nil)
	if err != nil {
		return err
	}
	if rolledBack || len(refusals.Results) != 0 || len(refusals.Errors) != 2 {
		return fmt.Errorf("the second: %v, %+v", rolledBack, refusals)
	}
	changed, tree, _, err := members.three.KV().Txn(api.KVTxnOps{
		{Verb: api.KVCheckIndex, Key: "go/txn/a", Index: found.ModifyIndex},
		{Verb: api.KVCAS, Key: "go/txn/a", Value: []byte("2"), Index: found.ModifyIndex},
		{Verb: api.KVGetTree, Key: "go/txn/"},
		{Verb: api.KVDeleteTree, Key: "go/txn/"},
	}, nil)
	if err != nil {
		return err
	}
	if !changed || len(tree.Results) != 3 {
		return fmt.Errorf("the third: %v, %+v", changed, tree)
	}
	left, _, err := members.one.KV().List("go/txn/", nil)
	return errors.Join(
		err,
		equal("value", string(found.Value), "1"),
		equal("flags", found.Flags, 7),
		equal("first error", refusals.Errors[0].OpIndex, 1),
		equal("second error", refusals.Errors[1].OpIndex, 2),
		equal("keys in the tree", tree.Results[2].Key, "go/txn/a"),
		equal("value in the tree", string(tree.Results[2].Value), "2"),
		equal("left", len(left), 0),
	)
}

// afterChange asks again and again, each time from the last index, while the change is made: it returns as soon as an
// answer is as it shall be. A wait that takes too long ends with the time limit of the program.
func afterChange(what string, read func(*api.QueryOptions) (bool, *api.QueryMeta, error), change func() error) error {
	_, meta, err := read(nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	changed := make(chan error, 1)
	go func() { changed <- change() }()
	index := meta.LastIndex
	for {
		isThere, meta, err := read(&api.QueryOptions{WaitIndex: index})
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if isThere {
			return errors.Join(<-changed, equal(what+" moves the index", meta.LastIndex > index, true))
		}
		index = meta.LastIndex
	}
}

func waiting(members *cluster) error {
	kv, agent := members.one.KV(), members.one.Agent()
	put := func() error {
		_, err := kv.Put(&api.KVPair{Key: "go/wait/a", Value: []byte("1")}, nil)
		return err
	}
	get := func(options *api.QueryOptions) (bool, *api.QueryMeta, error) {
		pair, meta, err := members.two.KV().Get("go/wait/a", options)
		return pair != nil, meta, err
	}
	remove := func() error {
		_, err := kv.DeleteTree("go/wait/", nil)
		return err
	}
	list := func(options *api.QueryOptions) (bool, *api.QueryMeta, error) {
		pairs, meta, err := members.three.KV().List("go/wait/", options)
		return len(pairs) == 0, meta, err
	}
	register := func() error {
		check := &api.AgentServiceCheck{TTL: "60s"}
		return agent.ServiceRegister(&api.AgentServiceRegistration{Name: "go-wait", Port: 80, Check: check})
	}
	named := func(options *api.QueryOptions) (bool, *api.QueryMeta, error) {
		found, meta, err := members.two.Catalog().Services(options)
		return found["go-wait"] != nil, meta, err
	}
	pass := func() error { return agent.PassTTL("service:go-wait", "well") }
	passing := func(options *api.QueryOptions) (bool, *api.QueryMeta, error) {
		found, meta, err := members.three.Health().Service("go-wait", "", true, options)
		return len(found) == 1, meta, err
	}
	deregister := func() error { return agent.ServiceDeregister("go-wait") }
	gone := func(options *api.QueryOptions) (bool, *api.QueryMeta, error) {
		found, meta, err := members.two.Catalog().Service("go-wait", "", options)
		return len(found) == 0, meta, err
	}
	_, meta, err := kv.Get("go/wait/a", nil)
	if err != nil {
		return err
	}
	// A wait that is over answers with what there is, and the same index.
	_, again, err := kv.Get("go/wait/a", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	return errors.Join(
		equal("index after a wait", again.LastIndex, meta.LastIndex),
		afterChange("a key that is put", get, put),
		afterChange("a key that is deleted", list, remove),
		afterChange("a service that is registered", named, register),
		afterChange("a check that passes", passing, pass),
		afterChange("a service that is deregistered", gone, deregister),
	)
}
