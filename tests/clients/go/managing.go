package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"
)

// membership adds, changes and removes members that never run.
func membership(ctx context.Context, c *cluster) error {
	see(c.MemberList(ctx))
	see(c.MemberList(ctx, clientv3.WithSerializable()))
	voter, err := changed(ctx, func(ctx context.Context) (*clientv3.MemberAddResponse, error) {
		return c.MemberAdd(ctx, []string{"https://n4.invalid:1"})
	})
	if err != nil {
		return err
	}
	seeOutcome(fmt.Sprint(voter.Member.PeerURLs, voter.Member.IsLearner, len(voter.Members)), nil)
	see(changed(ctx, func(ctx context.Context) (*clientv3.MemberUpdateResponse, error) {
		return c.MemberUpdate(ctx, voter.Member.ID, []string{"https://n5.invalid:1"})
	}))
	see(changed(ctx, func(ctx context.Context) (*clientv3.MemberRemoveResponse, error) {
		return c.MemberRemove(ctx, voter.Member.ID)
	}))
	learner, err := changed(ctx, func(ctx context.Context) (*clientv3.MemberAddResponse, error) {
		return c.MemberAddAsLearner(ctx, []string{"https://n6.invalid:1"})
	})
	if err != nil {
		return err
	}
	seeOutcome(fmt.Sprint(learner.Member.PeerURLs, learner.Member.IsLearner, len(learner.Members)), nil)
	// A member of an etcd that does not lead cannot pass this on for a user.
	config, _, err := c.atLeader(ctx, c.config)
	if err != nil {
		return err
	}
	leader, err := connect(ctx, config)
	if err != nil {
		return err
	}
	see(changed(ctx, func(ctx context.Context) (*clientv3.MemberPromoteResponse, error) {
		return leader.MemberPromote(ctx, learner.Member.ID)
	}))
	for range 2 {
		see(changed(ctx, func(ctx context.Context) (*clientv3.MemberRemoveResponse, error) {
			return c.MemberRemove(ctx, learner.Member.ID)
		}))
	}
	see(changed(ctx, func(ctx context.Context) (*clientv3.MemberAddResponse, error) {
		return c.MemberAdd(ctx, nil)
	}))
	return nil
}

func maintenance(ctx context.Context, c *cluster) error {
	config, leader, err := c.atLeader(ctx, c.config)
	if err != nil {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	hashes := map[uint32]bool{}
	for _, endpoint := range c.Endpoints() {
		see(c.Status(ctx, endpoint))
		see(c.Defragment(ctx, endpoint))
		hashes[see(c.HashKV(ctx, endpoint, 0)).Hash] = true
	}
	seeOutcome(fmt.Sprint("different hashes: ", len(hashes)), nil)
	see(c.HashKV(ctx, c.Endpoints()[0], 1<<40))
	see(c.AlarmList(ctx))
	see(c.AlarmDisarm(ctx, &clientv3.AlarmMember{}))
	see(c.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: leader, Alarm: 1}))
	see(c.Downgrade(ctx, clientv3.DowngradeValidate, "three"))
	see(c.Downgrade(ctx, clientv3.DowngradeValidate, "9.9"))
	see(c.Downgrade(ctx, clientv3.DowngradeEnable, "9.9"))

	one, err := connect(ctx, config)
	if err != nil {
		return err
	}
	see(one.MoveLeader(ctx, 1))
	see(one.MoveLeader(ctx, leader))
	list, err := c.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, member := range list.Members {
		if member.ID != leader {
			see(one.MoveLeader(ctx, member.ID))
			break
		}
	}
	see(one.MoveLeader(ctx, leader))
	return nil
}

// snapshots checks what a snapshot ends with: the hash of all that is before.
func snapshots(ctx context.Context, c *cluster) error {
	check := func(from io.ReadCloser) error {
		content, err := io.ReadAll(from)
		if err != nil {
			return err
		}
		if len(content)%512 != sha256.Size {
			return fmt.Errorf("%d bytes do not end with a hash", len(content))
		}
		database, hash := content[:len(content)-sha256.Size], content[len(content)-sha256.Size:]
		if sha256.Sum256(database) != [sha256.Size]byte(hash) {
			return errors.New("it is not the hash of what is before")
		}
		return from.Close()
	}
	plain, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	seeOutcome("snapshot", check(plain))
	full, err := c.SnapshotWithVersion(ctx)
	if err != nil {
		return err
	}
	seeOutcome("snapshot", check(full.Snapshot))
	folder, err := os.MkdirTemp("", "go-client-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "snapshot.db")
	_, err = snapshot.SaveWithVersion(ctx, zap.NewNop(), at(c.config, c.Endpoints()[0]), path)
	seeOutcome("save", err)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	seeOutcome("saved", check(file))
	return nil
}
