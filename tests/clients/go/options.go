package main

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
)

// options shows each option of the calls for keys.
func options(ctx context.Context, c *cluster) error {
	var revisions []int64
	for _, pair := range [][2]string{{"b", "3"}, {"a", "2"}, {"c", "1"}, {"a", "4"}} {
		put, err := c.Put(ctx, "go/options/"+pair[0], pair[1])
		if err != nil {
			return err
		}
		revisions = append(revisions, put.Header.Revision)
	}
	read := func(options ...clientv3.OpOption) {
		see(c.Get(ctx, "go/options/", append([]clientv3.OpOption{clientv3.WithPrefix()}, options...)...))
	}
	read()
	read(clientv3.WithLimit(2))
	read(clientv3.WithRev(revisions[1]))
	read(clientv3.WithKeysOnly(), clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend))
	read(clientv3.WithCountOnly())
	read(clientv3.WithMinModRev(revisions[2]))
	read(clientv3.WithMaxModRev(revisions[2]))
	read(clientv3.WithMinCreateRev(revisions[1]))
	read(clientv3.WithMaxCreateRev(revisions[1]))
	for _, target := range []clientv3.SortTarget{
		clientv3.SortByKey, clientv3.SortByCreateRevision, clientv3.SortByModRevision, clientv3.SortByValue,
	} {
		read(clientv3.WithSort(target, clientv3.SortAscend))
		read(clientv3.WithSort(target, clientv3.SortDescend))
	}
	read(clientv3.WithSort(clientv3.SortByVersion, clientv3.SortDescend), clientv3.WithLimit(1))
	for _, top := range [][]clientv3.OpOption{
		clientv3.WithFirstCreate(), clientv3.WithLastCreate(), clientv3.WithFirstKey(),
		clientv3.WithLastKey(), clientv3.WithFirstRev(), clientv3.WithLastRev(),
	} {
		read(top...)
	}
	see(c.Get(ctx, "go/options/a", clientv3.WithRange("go/options/c")))
	see(c.Get(ctx, "go/options/b", clientv3.WithFromKey(), clientv3.WithLimit(1)))

	if err := c.settle(ctx); err != nil {
		return err
	}
	see(c.Get(ctx, "go/options/a", clientv3.WithSerializable()))

	see(c.Put(ctx, "go/options/a", "", clientv3.WithIgnoreValue(), clientv3.WithPrevKV()))
	see(c.Put(ctx, "go/options/a", "5", clientv3.WithIgnoreLease()))
	see(c.Put(ctx, "go/options/none", "", clientv3.WithIgnoreValue()))
	see(c.Put(ctx, "go/options/a", "value", clientv3.WithIgnoreValue()))
	see(c.Get(ctx, "go/options/a", clientv3.WithRev(revisions[3]+100)))
	see(c.Delete(ctx, "go/options/a", clientv3.WithPrevKV()))
	see(c.Delete(ctx, "go/options/a", clientv3.WithRange("go/options/c"), clientv3.WithPrevKV()))
	see(c.Delete(ctx, "go/options/", clientv3.WithPrefix()))
	see(c.Delete(ctx, "go/options/zzz/", clientv3.WithRange("go/options/zzz0")))

	for _, operation := range []clientv3.Op{
		clientv3.OpPut("go/options/d", "1"),
		clientv3.OpGet("go/options/d"),
		clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet("go/options/d")}, nil),
		clientv3.OpDelete("go/options/d", clientv3.WithPrevKV()),
	} {
		answer, err := c.Do(ctx, operation)
		if err != nil {
			return err
		}
		see(answer.Put(), nil)
		see(answer.Get(), nil)
		see(answer.Txn(), nil)
		see(answer.Del(), nil)
	}
	compact, err := c.Put(ctx, "go/options/d", "2")
	if err != nil {
		return err
	}
	see(c.Compact(ctx, compact.Header.Revision))
	see(c.Compact(ctx, compact.Header.Revision, clientv3.WithCompactPhysical()))
	see(c.Compact(ctx, compact.Header.Revision+100))
	see(c.Get(ctx, "go/options/d", clientv3.WithRev(compact.Header.Revision-1)))
	return nil
}

// comparisons shows each target and each way of a comparison.
func comparisons(ctx context.Context, c *cluster) error {
	lease, err := c.Grant(ctx, 600)
	if err != nil {
		return err
	}
	put, err := c.Put(ctx, "go/compare/a", "1", clientv3.WithLease(lease.ID))
	if err != nil {
		return err
	}
	revision := put.Header.Revision
	// With a read, since a member may answer at once without one, from what it has applied.
	compare := func(what string, comparison clientv3.Cmp) {
		answer, err := c.Txn(ctx).If(comparison).Then(clientv3.OpGet("go/compare/none")).Commit()
		seeOutcome(fmt.Sprintf("%s holds: %v", what, err == nil && answer.Succeeded), err)
	}
	for _, way := range []string{"=", "!=", ">", "<"} {
		compare("value "+way, clientv3.Compare(clientv3.Value("go/compare/a"), way, "1"))
		compare("version "+way, clientv3.Compare(clientv3.Version("go/compare/a"), way, 1))
		compare("creation "+way, clientv3.Compare(clientv3.CreateRevision("go/compare/a"), way, revision-1))
		compare("modification "+way, clientv3.Compare(clientv3.ModRevision("go/compare/a"), way, revision+1))
		compare("lease "+way, clientv3.Compare(clientv3.LeaseValue("go/compare/a"), way, lease.ID))
		compare("no value "+way, clientv3.Compare(clientv3.Value("go/compare/none"), way, "1"))
		compare("no version "+way, clientv3.Compare(clientv3.Version("go/compare/none"), way, 0))
		compare("prefix "+way, clientv3.Compare(clientv3.Value("go/compare/").WithPrefix(), way, "0"))
		compare("range "+way, clientv3.Compare(clientv3.Version("go/compare/a").WithRange("go/compare/b"), way, 2))
	}
	compare("there", clientv3util.KeyExists("go/compare/a"))
	compare("not there", clientv3util.KeyMissing("go/compare/a"))

	inner := clientv3.OpTxn(
		[]clientv3.Cmp{clientv3util.KeyMissing("go/compare/b")},
		[]clientv3.Op{clientv3.OpPut("go/compare/b", "1"), clientv3.OpGet("go/compare/", clientv3.WithPrefix())},
		[]clientv3.Op{clientv3.OpDelete("go/compare/b")},
	)
	for range 2 {
		see(c.Txn(ctx).
			If(clientv3util.KeyExists("go/compare/a"), clientv3util.KeyMissing("go/compare/c")).
			Then(inner, clientv3.OpPut("go/compare/a", "2", clientv3.WithPrevKV(), clientv3.WithIgnoreLease())).
			Else(clientv3.OpGet("go/compare/a")).
			Commit())
	}
	var many []clientv3.Op
	for number := range 129 {
		many = append(many, clientv3.OpGet(fmt.Sprint(number)))
	}
	see(c.Txn(ctx).Then(many...).Commit())
	see(c.Revoke(ctx, lease.ID))
	return nil
}
