package main

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func users(ctx context.Context, c *cluster) error {
	see(c.AuthStatus(ctx))
	see(c.UserAdd(ctx, "bob", "secret"))
	see(c.UserAdd(ctx, "bob", "secret"))
	see(c.UserAdd(ctx, "", "secret"))
	see(c.UserAddWithOptions(ctx, "robot", "", &clientv3.UserAddOptions{NoPassword: true}))
	see(c.UserChangePassword(ctx, "bob", "other"))
	see(c.UserChangePassword(ctx, "nobody", "other"))
	see(c.UserList(ctx))
	see(c.RoleAdd(ctx, "reader"))
	see(c.RoleAdd(ctx, "reader"))
	see(c.RoleGrantPermission(ctx, "reader", "b", "c", clientv3.PermissionType(clientv3.PermRead)))
	see(c.RoleGrantPermission(ctx, "reader", "x", clientv3.GetPrefixRangeEnd("x"), clientv3.PermissionType(clientv3.PermReadWrite)))
	see(c.RoleGrantPermission(ctx, "nobody", "b", "c", clientv3.PermissionType(clientv3.PermWrite)))
	see(c.RoleGet(ctx, "reader"))
	see(c.RoleGet(ctx, "nobody"))
	see(c.RoleList(ctx))
	see(c.UserGrantRole(ctx, "bob", "reader"))
	see(c.UserGrantRole(ctx, "bob", "nobody"))
	see(c.UserGet(ctx, "bob"))
	see(c.UserGet(ctx, "nobody"))
	see(c.Authenticate(ctx, "bob", "other"))
	see(c.Authenticate(ctx, "bob", "secret"))
	see(c.Authenticate(ctx, "robot", "secret"))
	see(c.RoleRevokePermission(ctx, "reader", "b", "c"))
	see(c.RoleRevokePermission(ctx, "reader", "b", "c"))
	see(c.UserRevokeRole(ctx, "bob", "reader"))
	see(c.UserRevokeRole(ctx, "bob", "reader"))
	see(c.RoleDelete(ctx, "reader"))
	see(c.RoleDelete(ctx, "reader"))
	see(c.UserDelete(ctx, "bob"))
	see(c.UserDelete(ctx, "bob"))
	see(c.UserDelete(ctx, "robot"))
	see(c.UserDelete(ctx, c.config.Username))
	if err := c.settle(ctx); err != nil {
		return err
	}
	see(c.AuthStatus(ctx))
	permission, err := clientv3.StrToPermissionType("readwrite")
	see(permission, err)
	return nil
}

// restricted calls everything as the other user.
func restricted(ctx context.Context, c *cluster) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	own, err := connect(ctx, c.other)
	if err != nil {
		return err
	}
	foreign, err := c.Grant(ctx, 600)
	if err != nil {
		return err
	}
	if _, err := c.Put(ctx, "b/foreign", "1", clientv3.WithLease(foreign.ID)); err != nil {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}

	for _, name := range []string{"a/own", "b/foreign"} {
		seeOutcome(name, nil)
		see(own.Put(ctx, name, "1"))
		see(own.Put(ctx, name, "1", clientv3.WithPrevKV()))
		see(own.Get(ctx, name))
		if err := c.settle(ctx); err != nil {
			return err
		}
		see(own.Get(ctx, name, clientv3.WithSerializable()))
		see(own.Get(ctx, name, clientv3.WithFromKey()))
		see(own.Get(ctx, name, clientv3.WithPrefix()))
		see(own.Txn(ctx).If(clientv3.Compare(clientv3.Version(name), ">", 0)).Then(clientv3.OpGet("a/none")).Commit())
		see(own.Txn(ctx).Then(clientv3.OpGet(name)).Else(clientv3.OpPut(name, "2")).Commit())
		see(own.Txn(ctx).Else(clientv3.OpDelete(name)).Commit())
		seeOutcome("watch", firstError(ctx, own, name))
		see(own.Delete(ctx, name, clientv3.WithPrevKV()))
	}
	see(own.Get(ctx, "", clientv3.WithPrefix()))

	seeOutcome("leases", nil)
	grant, err := own.Grant(ctx, 600)
	if err != nil {
		return err
	}
	see(own.Put(ctx, "a/leased", "1", clientv3.WithLease(grant.ID)))
	see(own.Put(ctx, "a/leased", "1", clientv3.WithLease(foreign.ID)))
	for _, id := range []clientv3.LeaseID{grant.ID, foreign.ID} {
		see(settledKeepAlive(ctx, c, own, id))
		see(settledTimeToLive(ctx, c, own, id))
		see(settledTimeToLive(ctx, c, own, id, clientv3.WithAttachedKeys()))
		see(own.Revoke(ctx, id))
	}
	session, err := concurrency.NewSession(own)
	if err != nil {
		return err
	}
	for _, name := range []string{"a/contest", "b/contest"} {
		mutex := concurrency.NewMutex(session, name)
		seeOutcome("lock", mutex.Lock(ctx))
		seeOutcome("try", mutex.TryLock(ctx))
		election := concurrency.NewElection(session, name+"/election")
		seeOutcome("campaign", election.Campaign(ctx, "1"))
		_, err := election.Leader(ctx)
		seeOutcome("leader", err)
	}
	if err := session.Close(); err != nil {
		return err
	}

	seeOutcome("members", nil)
	if err := c.settle(ctx); err != nil {
		return err
	}
	see(own.MemberList(ctx))
	see(own.MemberAdd(ctx, []string{"https://n4.invalid:1"}))
	see(own.MemberAddAsLearner(ctx, []string{"https://n4.invalid:1"}))
	see(own.MemberUpdate(ctx, 1, []string{"https://n4.invalid:1"}))
	see(own.MemberPromote(ctx, 1))
	see(own.MemberRemove(ctx, 1))

	seeOutcome("maintenance", nil)
	endpoint := c.Endpoints()[0]
	see(own.Status(ctx, endpoint))
	see(own.HashKV(ctx, endpoint, 0))
	see(own.Defragment(ctx, endpoint))
	see(own.AlarmList(ctx))
	see(own.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: 1, Alarm: 1}))
	see(own.Downgrade(ctx, clientv3.DowngradeValidate, "9.9"))
	see(own.Compact(ctx, 1))
	config, leader, err := c.atLeader(ctx, c.other)
	if err != nil {
		return err
	}
	one, err := connect(ctx, config)
	if err != nil {
		return err
	}
	see(one.MoveLeader(ctx, leader))
	if from, err := own.Snapshot(ctx); err == nil {
		_, err = from.Read(make([]byte, 1))
		seeOutcome("snapshot", err)
	}

	seeOutcome("users and roles", nil)
	see(own.AuthStatus(ctx))
	see(own.AuthEnable(ctx))
	see(own.AuthDisable(ctx))
	see(own.UserAdd(ctx, "eve", "secret"))
	see(own.UserChangePassword(ctx, c.other.Username, "secret"))
	see(own.UserGrantRole(ctx, c.other.Username, "root"))
	see(own.UserRevokeRole(ctx, c.other.Username, "own"))
	see(own.UserDelete(ctx, c.other.Username))
	see(own.UserGet(ctx, c.other.Username))
	see(own.UserGet(ctx, c.config.Username))
	see(own.UserList(ctx))
	see(own.RoleAdd(ctx, "more"))
	see(own.RoleGrantPermission(ctx, "own", "b", "c", clientv3.PermissionType(clientv3.PermRead)))
	see(own.RoleRevokePermission(ctx, "own", "a", "b"))
	see(own.RoleGet(ctx, "own"))
	see(own.RoleGet(ctx, "root"))
	see(own.RoleList(ctx))
	see(own.RoleDelete(ctx, "own"))

	see(c.Get(ctx, "b", clientv3.WithPrefix()))
	see(c.Revoke(ctx, foreign.ID))
	wrong := c.other
	wrong.Password += "?"
	_, err = clientv3.New(wrong)
	seeOutcome("a wrong password", err)
	return nil
}

// firstError is what ends a watch, if anything does before it tells that it is there.
func firstError(ctx context.Context, client *clientv3.Client, key string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, isOpen := <-client.Watch(ctx, key, clientv3.WithCreatedNotify())
	if !isOpen {
		return errors.New("it has ended")
	}
	return answer.Err()
}

// authentication disables and enables it: a client that has a name and a password goes on as if nothing had been.
func authentication(ctx context.Context, c *cluster) error {
	see(c.AuthEnable(ctx))
	see(c.AuthDisable(ctx))
	see(c.Put(ctx, "go/anybody", "1"))
	see(c.Authenticate(ctx, c.other.Username, c.other.Password))
	if err := c.settle(ctx); err != nil {
		return err
	}
	see(c.AuthStatus(ctx))
	see(c.AuthEnable(ctx))
	see(c.Get(ctx, "go/anybody"))
	// One member, which has applied what it is asked for.
	again, err := connect(ctx, at(c.config, c.Endpoints()[0]))
	if err != nil {
		return err
	}
	see(again.Get(ctx, "go/anybody"))
	see(again.AuthStatus(ctx))
	return nil
}
