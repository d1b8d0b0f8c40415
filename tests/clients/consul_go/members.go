package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
	"github.com/hashicorp/go-hclog"
)

func queries(members *cluster) error {
	agent, query := members.one.Agent(), members.two.PreparedQuery()
	for _, id := range []string{"go-q-1", "go-q-2"} {
		check := &api.AgentServiceCheck{TTL: "60s", Status: api.HealthPassing}
		service := &api.AgentServiceRegistration{ID: id, Name: "go-q", Tags: []string{id}, Port: 80, Check: check}
		if err := agent.ServiceRegister(service); err != nil {
			return err
		}
	}
	definition := &api.PreparedQueryDefinition{
		Name:    "go-query",
		Service: api.ServiceQuery{Service: "go-q", OnlyPassing: true},
		DNS:     api.QueryDNSOptions{TTL: "10s"},
	}
	id, _, err := query.Create(definition, nil)
	if err != nil {
		return err
	}
	found := func(client *api.Client, name string, expected int) error {
		answer, _, err := client.PreparedQuery().Execute(name, nil)
		if err != nil {
			return err
		}
		return errors.Join(
			equal("service", answer.Service, "go-q"),
			equal("ttl", answer.DNS.TTL, "10s"),
			equal("instances", len(answer.Nodes), expected),
		)
	}
	err = errors.Join(
		found(members.one, "go-query", 2),
		found(members.three, id, 2),
		agent.FailTTL("service:go-q-1", "down"),
		found(members.three, id, 1),
		agent.PassTTL("service:go-q-1", "up"),
	)
	if err != nil {
		return err
	}
	definition.ID, definition.Service.Tags = id, []string{"!go-q-1"}
	if _, err := query.Update(definition, nil); err != nil {
		return err
	}
	defined, _, err := query.Get(id, nil)
	if err != nil {
		return err
	}
	all, _, err := query.List(nil)
	if err != nil {
		return err
	}
	err = errors.Join(
		found(members.one, id, 1),
		equal("defined", fmt.Sprint(defined[0].Service.Tags), "[!go-q-1]"),
		equal("listed", len(all), 1),
	)
	if err != nil {
		return err
	}
	if _, err := query.Delete(id, nil); err != nil {
		return err
	}
	_, _, gone := query.Execute(id, nil)
	return errors.Join(
		refusal("a query that is gone", gone, "404"),
		agent.ServiceDeregister("go-q-1"),
		agent.ServiceDeregister("go-q-2"),
	)
}

func events(members *cluster) error {
	fired, _, err := members.one.Event().Fire(&api.UserEvent{Name: "go-deploy", Payload: []byte("4.2")}, nil)
	if err != nil {
		return err
	}
	for _, client := range []*api.Client{members.two, members.three} {
		list, meta, err := client.Event().List("go-deploy", nil)
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return fmt.Errorf("events: %v", list)
		}
		err = errors.Join(
			equal("event", list[0].ID, fired),
			equal("payload", string(list[0].Payload), "4.2"),
			equal("index", meta.LastIndex, client.Event().IDToIndex(fired)),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// plans runs a watch of each type that has something to see, as Consul's own tools do.
func plans(members *cluster) error {
	definitions := map[string]map[string]any{
		"key":       {"type": "key", "key": "go/plan/a"},
		"keyprefix": {"type": "keyprefix", "prefix": "go/plan/"},
		"services":  {"type": "services"},
		"nodes":     {"type": "nodes"},
		"service":   {"type": "service", "service": "go-plan", "passingonly": true},
		"checks":    {"type": "checks", "service": "go-plan"},
		"event":     {"type": "event", "name": "go-plan"},
	}
	// How often each has told of something new.
	told := map[string]*atomic.Int64{}
	stopped := make(chan error, len(definitions))
	var running []*watch.Plan
	for name, definition := range definitions {
		plan, err := watch.Parse(definition)
		if err != nil {
			return err
		}
		count := &atomic.Int64{}
		told[name] = count
		plan.Handler = func(uint64, any) { count.Add(1) }
		running = append(running, plan)
		go func() { stopped <- plan.RunWithClientAndHclog(members.two, hclog.NewNullLogger()) }()
	}
	// What they saw before the change: nothing is there of the key, and of the event.
	for _, name := range []string{"keyprefix", "services", "nodes", "service", "checks"} {
		err := until(name+" has begun", func() (bool, error) { return told[name].Load() > 0, nil })
		if err != nil {
			return err
		}
	}
	before := map[string]int64{}
	for name, count := range told {
		before[name] = count.Load()
	}
	_, put := members.one.KV().Put(&api.KVPair{Key: "go/plan/a", Value: []byte("1")}, nil)
	_, registered := members.three.Catalog().Register(&api.CatalogRegistration{
		Node:    "go-plan-node",
		Address: "10.1.2.3",
		Service: &api.AgentService{Service: "go-plan", Port: 80},
		Check: &api.AgentCheck{
			Node: "go-plan-node", CheckID: "go-plan", Name: "up", Status: api.HealthPassing, ServiceID: "go-plan",
		},
	}, nil)
	_, _, fired := members.one.Event().Fire(&api.UserEvent{Name: "go-plan"}, nil)
	if err := errors.Join(put, registered, fired); err != nil {
		return err
	}
	for name, count := range told {
		err := until(name+" tells of the change", func() (bool, error) { return count.Load() > before[name], nil })
		if err != nil {
			return err
		}
	}
	for _, plan := range running {
		plan.Stop()
	}
	for range running {
		if err := <-stopped; err != nil {
			return err
		}
	}
	_, err := members.one.Catalog().Deregister(&api.CatalogDeregistration{Node: "go-plan-node"}, nil)
	return err
}

func members(members *cluster) error {
	one := members.one
	self, err := one.Agent().Self()
	if err != nil {
		return err
	}
	list, err := one.Agent().Members(false)
	if err != nil {
		return err
	}
	leader, err := one.Status().Leader()
	if err != nil {
		return err
	}
	peers, err := members.two.Status().Peers()
	if err != nil {
		return err
	}
	raft, err := members.three.Operator().RaftGetConfiguration(nil)
	if err != nil {
		return err
	}
	nodes, _, err := members.three.Catalog().Service("consul", "", nil)
	if err != nil {
		return err
	}
	coordinates, err := one.Coordinate().Datacenters()
	if err != nil {
		return err
	}
	if _, _, err := one.Coordinate().Nodes(nil); err != nil {
		return err
	}
	if _, err := one.Agent().Metrics(); err != nil {
		return err
	}
	if _, err := one.Agent().Version(); err != nil {
		return err
	}
	leaders := 0
	for _, server := range raft.Servers {
		if server.Leader {
			leaders++
		}
	}
	total := len(members.addresses)
	for _, member := range list {
		if err := equal("status of "+member.Name, member.Status, 1); err != nil {
			return err
		}
	}
	return errors.Join(
		equal("datacenter", self["Config"]["Datacenter"], any("dc1")),
		equal("name", self["Config"]["NodeName"], self["Member"]["Name"]),
		equal("members", len(list), total),
		equal("peers", len(peers), total),
		equal("the leader is a peer", slices.Contains(peers, leader), true),
		equal("servers", len(raft.Servers), total),
		equal("leaders", leaders, 1),
		equal("nodes with the service consul", len(nodes), total),
		equal("datacenters with coordinates", len(coordinates), 1),
	)
}

func snapshots(members *cluster) error {
	kv := members.one.KV()
	before := &api.KVPair{Key: "go/snapshot/a", Value: []byte("before")}
	if _, err := kv.Put(before, nil); err != nil {
		return err
	}
	saved, meta, err := members.one.Snapshot().Save(nil)
	if err != nil {
		return err
	}
	defer saved.Close()
	archive, err := io.ReadAll(saved)
	if err != nil {
		return err
	}
	_, changed := kv.Put(&api.KVPair{Key: before.Key, Value: []byte("after")}, nil)
	_, added := kv.Put(&api.KVPair{Key: "go/snapshot/b"}, nil)
	if err := errors.Join(changed, added); err != nil {
		return err
	}
	broken := bytes.Clone(archive)
	broken[len(broken)/2] ^= 1
	if members.two.Snapshot().Restore(nil, bytes.NewReader(broken)) == nil {
		return errors.New("a broken snapshot was restored")
	}
	if err := members.two.Snapshot().Restore(nil, bytes.NewReader(archive)); err != nil {
		return err
	}
	found, _, err := members.three.KV().List("go/snapshot/", nil)
	if err != nil {
		return err
	}
	return errors.Join(
		equal("index", meta.LastIndex > 0, true),
		equal("keys", len(found), 1),
		equal("value", string(found[0].Value), "before"),
	)
}

// refused asks for what Stead does not have: clients take an empty success for an answer.
func refused(members *cluster) error {
	client := members.one
	asked := map[string]func() error{
		"the authority of the mesh": func() error { _, _, err := client.Connect().CARoots(nil); return err },
		"intentions":                func() error { _, _, err := client.Connect().Intentions(nil); return err },
		"configuration entries":     func() error { _, _, err := client.ConfigEntries().List("service-defaults", nil); return err },
		"a discovery chain":         func() error { _, _, err := client.DiscoveryChain().Get("web", nil, nil); return err },
		"peering":                   func() error { _, _, err := client.Peerings().List(nil, nil); return err },
		"autopilot":                 func() error { _, err := client.Operator().AutopilotGetConfiguration(nil); return err },
		"keys of gossip":            func() error { _, err := client.Operator().KeyringList(nil); return err },
		"usage":                     func() error { _, _, err := client.Operator().Usage(nil); return err },
		"instances in the mesh":     func() error { _, _, err := client.Health().Connect("web", "", false, nil); return err },
		"ACLs while they are off":   func() error { _, _, err := client.ACL().TokenList(nil); return err },
		"a check that runs a program": func() error {
			check := &api.AgentServiceCheck{Args: []string{"true"}, Interval: "10s"}
			return client.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "go-script", Check: check})
		},
	}
	for what, ask := range asked {
		if err := ask(); err == nil {
			return fmt.Errorf("%s: not refused", what)
		}
	}
	return nil
}
