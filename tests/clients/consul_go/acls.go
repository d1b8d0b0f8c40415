package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"
)

func tokens(members *cluster) error {
	first, _, err := members.one.ACL().Bootstrap()
	if err != nil {
		return err
	}
	_, _, again := members.two.ACL().Bootstrap()
	managing, err := connect(members.addresses[1], first.SecretID)
	if err != nil {
		return err
	}
	if err := settle(&cluster{one: managing, addresses: members.addresses}); err != nil {
		return err
	}
	acl := managing.ACL()
	policy, _, err := acl.PolicyCreate(&api.ACLPolicy{
		Name: "go-app",
		Rules: `key_prefix "app/" { policy = "write" }
key "app/secret" { policy = "deny" }
service "app" { policy = "write" }
node_prefix "" { policy = "read" }`,
	}, nil)
	if err != nil {
		return err
	}
	locking := &api.ACLPolicy{Name: "go-locking", Rules: `session_prefix "" { policy = "write" }`}
	if _, _, err := acl.PolicyCreate(locking, nil); err != nil {
		return err
	}
	role, _, err := acl.RoleCreate(&api.ACLRole{
		Name: "go-locker", Policies: []*api.ACLRolePolicyLink{{Name: locking.Name}},
	}, nil)
	if err != nil {
		return err
	}
	token, _, err := acl.TokenCreate(&api.ACLToken{
		Description:   "of the application",
		ExpirationTTL: time.Hour,
		Policies:      []*api.ACLTokenPolicyLink{{Name: policy.Name}},
		Roles:         []*api.ACLTokenRoleLink{{ID: role.ID}},
	}, nil)
	if err != nil {
		return err
	}
	app, err := connect(members.addresses[2], token.SecretID)
	if err != nil {
		return err
	}
	// What other members know of a token may be older, but not for long.
	err = until("the token is known", func() (bool, error) {
		self, _, err := app.ACL().TokenReadSelf(nil)
		return err == nil && self.AccessorID == token.AccessorID, nil
	})
	if err != nil {
		return err
	}
	if err := allowed(managing, app); err != nil {
		return err
	}
	_, _, anonymous := members.three.KV().Get("app/a", nil)
	stranger, err := connect(members.addresses[0], "7f000000-0000-0000-0000-000000000001")
	if err != nil {
		return err
	}
	_, _, unknown := stranger.KV().Get("app/a", nil)
	_, _, notManaging := app.ACL().TokenList(nil)
	err = errors.Join(
		refusal("bootstrapped again", again, "ACL bootstrap no longer allowed"),
		refusal("nobody", anonymous, "Permission denied"),
		refusal("a token that nobody made", unknown, "ACL not found"),
		refusal("not for management", notManaging, "Permission denied"),
	)
	if err != nil {
		return err
	}
	return changes(acl, app, policy, role, token)
}

// allowed: the token may do what its policy says, and nothing else.
func allowed(managing, app *api.Client) error {
	for _, key := range []string{"app/secret", "else/a"} {
		if _, err := managing.KV().Put(&api.KVPair{Key: key, Value: []byte("1")}, nil); err != nil {
			return err
		}
	}
	if _, err := app.KV().Put(&api.KVPair{Key: "app/a", Value: []byte("1")}, nil); err != nil {
		return err
	}
	listed, _, err := app.KV().List("", nil)
	if err != nil {
		return err
	}
	_, elsewhere := app.KV().Put(&api.KVPair{Key: "else/b"}, nil)
	_, _, secret := app.KV().Get("app/secret", nil)
	_, _, snapshot := app.Snapshot().Save(nil)
	done, refusals, _, err := app.Txn().Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "app/b", Value: []byte("1")}},
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "else/b", Value: []byte("1")}},
	}, nil)
	if err == nil && (done || len(refusals.Errors) != 1) {
		return fmt.Errorf("a transaction that is allowed in part: %v, %+v", done, refusals)
	}
	lock, err := app.LockKey("app/lock")
	if err != nil {
		return err
	}
	if _, err := lock.Lock(nil); err != nil {
		return err
	}
	agent := app.Agent()
	err = errors.Join(
		lock.Unlock(),
		agent.ServiceRegister(&api.AgentServiceRegistration{Name: "app", Port: 80}),
		managing.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "hidden", Port: 80}),
	)
	if err != nil {
		return err
	}
	services, meta, err := app.Catalog().Services(nil)
	if err != nil {
		return err
	}
	everything, _, err := managing.Catalog().Services(nil)
	if err != nil {
		return err
	}
	return errors.Join(
		equal("keys that may be read", len(listed), 1),
		equal("services that may be read", len(services), 1),
		equal("some are left out", meta.ResultsFilteredByACLs, true),
		equal("all services", len(everything), 3),
		refusal("another key", elsewhere, "Permission denied"),
		refusal("a key that is denied", secret, "Permission denied"),
		refusal("a snapshot", snapshot, "Permission denied"),
		refusal("another service", agent.ServiceRegister(&api.AgentServiceRegistration{Name: "hidden"}), "Permission denied"),
		agent.ServiceDeregister("app"),
	)
}

// changes of policies, roles and tokens are followed, and what is deleted is gone.
func changes(acl *api.ACL, app *api.Client, policy *api.ACLPolicy, role *api.ACLRole, token *api.ACLToken) error {
	clone, _, err := acl.TokenClone(token.AccessorID, "a copy", nil)
	if err != nil {
		return err
	}
	token.Description = "changed"
	if _, _, err := acl.TokenUpdate(token, nil); err != nil {
		return err
	}
	changed, _, err := acl.TokenRead(token.AccessorID, nil)
	if err != nil {
		return err
	}
	copied, _, err := acl.TokenRead(clone.AccessorID, nil)
	if err != nil {
		return err
	}
	role.Description = "changed"
	if _, _, err := acl.RoleUpdate(role, nil); err != nil {
		return err
	}
	role, _, err = acl.RoleReadByName(role.Name, nil)
	if err != nil {
		return err
	}
	roles, _, err := acl.RoleList(nil)
	if err != nil {
		return err
	}
	tokens, _, err := acl.TokenListFiltered(api.ACLTokenFilterOptions{Policy: policy.ID}, nil)
	if err != nil {
		return err
	}
	policies, _, err := acl.PolicyList(nil)
	if err != nil {
		return err
	}
	policy.Rules = `key_prefix "app/" { policy = "read" }`
	if _, _, err := acl.PolicyUpdate(policy, nil); err != nil {
		return err
	}
	err = until("the policy is changed", func() (bool, error) {
		_, err := app.KV().Put(&api.KVPair{Key: "app/a", Value: []byte("2")}, nil)
		return err != nil, nil
	})
	if err != nil {
		return err
	}
	readable, _, err := app.KV().Get("app/a", nil)
	if err != nil {
		return err
	}
	named, _, err := acl.PolicyReadByName(policy.Name, nil)
	if err != nil {
		return err
	}
	_, _, wrong := acl.PolicyCreate(&api.ACLPolicy{Name: "go-wrong", Rules: `key "a" { policy = "own" }`}, nil)
	err = errors.Join(
		equal("policies of the token", len(changed.Policies), 1),
		equal("description", changed.Description, "changed"),
		equal("ends when it should", changed.ExpirationTime.Equal(changed.CreateTime.Add(time.Hour)), true),
		equal("roles of the copy", len(copied.Roles), 1),
		equal("role", role.Description, "changed"),
		equal("roles", len(roles), 1),
		equal("tokens with the policy", len(tokens), 2),
		equal("policies", len(policies) >= 3, true),
		equal("rules", named.Rules, policy.Rules),
		equal("may still be read", readable != nil, true),
		refusal("rules that are wrong", wrong, "own"),
	)
	if err != nil {
		return err
	}
	if _, err := acl.TokenDelete(token.AccessorID, nil); err != nil {
		return err
	}
	err = until("the token is gone", func() (bool, error) {
		_, _, err := app.KV().Get("app/a", nil)
		return err != nil, nil
	})
	if err != nil {
		return err
	}
	_, _, gone := app.KV().Get("app/a", nil)
	_, policyGone := acl.PolicyDelete(policy.ID, nil)
	_, roleGone := acl.RoleDelete(role.ID, nil)
	return errors.Join(
		refusal("a token that is gone", gone, "ACL not found"),
		policyGone,
		roleGone,
	)
}
