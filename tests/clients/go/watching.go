package main

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// take prints what a watch tells until it has told so many events; how they are put together in answers depends on time.
func take(watch clientv3.WatchChan, count int) error {
	for count > 0 {
		answer, isOpen := <-watch
		if err := answer.Err(); err != nil {
			seeOutcome("watch", err)
			return nil
		}
		if !isOpen {
			return fmt.Errorf("the watch has ended, and %d more were expected", count)
		}
		for _, event := range answer.Events {
			see(event, nil)
			count--
		}
	}
	return nil
}

// watchOptions shows each option of a watch.
func watchOptions(ctx context.Context, c *cluster) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := c.Put(ctx, "go/watched/a", "1")
	if err != nil {
		return err
	}
	for _, value := range []string{"2", "3"} {
		if _, err := c.Put(ctx, "go/watched/a", value); err != nil {
			return err
		}
	}
	if _, err := c.Delete(ctx, "go/watched/a"); err != nil {
		return err
	}
	_, err = c.Txn(ctx).Then(clientv3.OpPut("go/watched/b", "1"), clientv3.OpPut("go/watched/c", "1")).Commit()
	if err != nil {
		return err
	}
	since := clientv3.WithRev(first.Header.Revision)
	for _, watch := range []struct {
		key     string
		options []clientv3.OpOption
		events  int
	}{
		{"go/watched/a", []clientv3.OpOption{since}, 4},
		{"go/watched/a", []clientv3.OpOption{since, clientv3.WithPrevKV()}, 4},
		{"go/watched/", []clientv3.OpOption{since, clientv3.WithPrefix()}, 6},
		{"go/watched/", []clientv3.OpOption{since, clientv3.WithPrefix(), clientv3.WithFilterPut()}, 1},
		{"go/watched/", []clientv3.OpOption{since, clientv3.WithPrefix(), clientv3.WithFilterDelete()}, 5},
		{"go/watched/b", []clientv3.OpOption{since, clientv3.WithRange("go/watched/d")}, 2},
		{"go/watched/b", []clientv3.OpOption{since, clientv3.WithFromKey(), clientv3.WithFragment()}, 2},
	} {
		if err := take(c.Watch(ctx, watch.key, watch.options...), watch.events); err != nil {
			return err
		}
	}
	// The answer that says that the watch is there, and one that says that nothing is missing.
	notified := c.Watch(clientv3.WithRequireLeader(ctx), "go/watched/", clientv3.WithPrefix(),
		clientv3.WithCreatedNotify(), clientv3.WithProgressNotify())
	created := <-notified
	see(created.Created, created.Err())
	large := strings.Repeat("x", 1_000_000)
	for _, key := range []string{"go/watched/large/1", "go/watched/large/2", "go/watched/large/3"} {
		if _, err := c.Put(ctx, key, large); err != nil {
			return err
		}
	}
	for remaining := 3; remaining > 0; {
		answer, isOpen := <-notified
		if !isOpen {
			return answer.Err()
		}
		for _, event := range answer.Events {
			seeOutcome(fmt.Sprintf("%s, %d bytes", event.Kv.Key, len(event.Kv.Value)), answer.Err())
			remaining--
		}
	}
	if err := c.RequestProgress(clientv3.WithRequireLeader(ctx)); err != nil {
		return err
	}
	progress := <-notified
	see(progress.IsProgressNotify(), progress.Err())
	if _, err := c.Delete(ctx, "go/watched/large/", clientv3.WithPrefix()); err != nil {
		return err
	}

	watcher := clientv3.NewWatcher(c.Client)
	ends := watcher.Watch(ctx, "go/watched/a")
	if err := watcher.Close(); err != nil {
		return err
	}
	for range ends {
	}
	return nil
}
