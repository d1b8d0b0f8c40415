package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/consul/api"
)

func services(members *cluster) error {
	agent := members.one.Agent()
	node, err := agent.NodeName()
	if err != nil {
		return err
	}
	err = agent.ServiceRegister(&api.AgentServiceRegistration{
		ID:      "go-web-1",
		Name:    "go-web",
		Tags:    []string{"v1", "blue"},
		Address: "10.0.0.1",
		Port:    8080,
		Meta:    map[string]string{"version": "4"},
		Weights: &api.AgentWeights{Passing: 10, Warning: 2},
		Check:   &api.AgentServiceCheck{TTL: "60s", Notes: "by hand"},
	})
	if err != nil {
		return err
	}
	const check = "service:go-web-1"
	// Each way of saying it, and what another member tells of it.
	for _, step := range []struct {
		say    func() error
		status string
	}{
		{func() error { return nil }, api.HealthCritical},
		{func() error { return agent.UpdateTTL(check, "said", api.HealthPassing) }, api.HealthPassing},
		{func() error { return agent.UpdateTTL(check, "said", api.HealthWarning) }, api.HealthWarning},
		{func() error { return agent.FailTTL(check, "said") }, api.HealthCritical},
		{func() error { return agent.WarnTTL(check, "said") }, api.HealthWarning},
		{func() error { return agent.PassTTL(check, "said") }, api.HealthPassing},
	} {
		if err := step.say(); err != nil {
			return err
		}
		checks, _, err := members.two.Health().Checks("go-web", nil)
		if err != nil {
			return err
		}
		if len(checks) != 1 {
			return fmt.Errorf("checks: %v", checks)
		}
		verdict, info, err := agent.AgentHealthServiceByID("go-web-1")
		if err != nil {
			return err
		}
		named, infos, err := agent.AgentHealthServiceByName("go-web")
		err = errors.Join(
			err,
			equal("status", checks[0].Status, step.status),
			equal("by id", verdict, step.status),
			equal("state", info.AggregatedStatus, step.status),
			equal("by name", named, step.status),
			equal("instances", len(infos), 1),
		)
		if err != nil {
			return err
		}
	}
	all, err := agent.Services()
	if err != nil {
		return err
	}
	blue, err := agent.ServicesWithFilter(`"blue" in Tags and Meta.version == "4"`)
	if err != nil {
		return err
	}
	red, err := agent.ServicesWithFilter(`"red" in Tags`)
	if err != nil {
		return err
	}
	checks, err := agent.Checks()
	if err != nil {
		return err
	}
	one, _, err := agent.Service("go-web-1", nil)
	if err != nil {
		return err
	}
	found, _, err := members.three.Health().ServiceMultipleTags("go-web", []string{"blue", "v1"}, true, nil)
	if err != nil {
		return err
	}
	if len(found) != 1 || all["go-web-1"] == nil || checks[check] == nil {
		return fmt.Errorf("found: %v, %v, %v", found, all, checks)
	}
	entry := found[0]
	err = errors.Join(
		equal("filtered", len(blue), 1),
		equal("filtered away", len(red), 0),
		equal("service", one.Service, "go-web"),
		equal("has a hash", one.ContentHash != "", true),
		equal("weight", one.Weights.Warning, 2),
		equal("output", checks[check].Output, "said"),
		equal("notes", checks[check].Notes, "by hand"),
		equal("type", checks[check].Type, "ttl"),
		equal("node", entry.Node.Node, node),
		equal("address", entry.Service.Address, "10.0.0.1"),
		equal("port", entry.Service.Port, 8080),
		equal("tags", slices.Equal(entry.Service.Tags, []string{"v1", "blue"}), true),
		equal("metadata", entry.Service.Meta["version"], "4"),
		equal("state", entry.Checks.AggregatedStatus(), api.HealthPassing),
	)
	if err != nil {
		return err
	}
	if err := agent.ServiceDeregister("go-web-1"); err != nil {
		return err
	}
	left, _, err := members.two.Catalog().Service("go-web", "", nil)
	if err != nil {
		return err
	}
	absent, _, _ := agent.AgentHealthServiceByID("go-web-1")
	_, _, unknown := agent.Service("go-web-1", nil)
	return errors.Join(
		equal("left", len(left), 0),
		equal("state of what is gone", absent, api.HealthCritical),
		refusal("a service that is gone", unknown, "404"),
		refusal("deregistering again", agent.ServiceDeregister("go-web-1"), "Unknown service ID"),
		refusal("a check that is gone", agent.PassTTL(check, ""), "404"),
		refusal("no name", agent.ServiceRegister(&api.AgentServiceRegistration{}), "400"),
	)
}

func maintenance(members *cluster) error {
	agent, health := members.two.Agent(), members.three.Health()
	node, err := agent.NodeName()
	if err != nil {
		return err
	}
	if err := agent.ServiceRegister(&api.AgentServiceRegistration{Name: "go-kept", Port: 80}); err != nil {
		return err
	}
	definition := &api.AgentCheckRegistration{ID: "go-disk", Name: "disk", ServiceID: "go-kept"}
	definition.TTL, definition.Status = "60s", api.HealthPassing
	if err := agent.CheckRegister(definition); err != nil {
		return err
	}
	passing := func(expected int) error {
		found, _, err := health.Service("go-kept", "", true, nil)
		return errors.Join(err, equal("instances that pass", len(found), expected))
	}
	state := func(id, status string) error {
		checks, _, err := health.State(status, nil)
		isThere := slices.ContainsFunc(checks, func(check *api.HealthCheck) bool { return check.CheckID == id })
		return errors.Join(err, equal(id+" is "+status, isThere, true))
	}
	err = errors.Join(
		passing(1),
		state("go-disk", api.HealthPassing),
		agent.EnableServiceMaintenance("go-kept", "by hand"),
		passing(0),
		state("_service_maintenance:go-kept", api.HealthCritical),
		agent.DisableServiceMaintenance("go-kept"),
		passing(1),
		agent.EnableNodeMaintenance("by hand"),
		passing(0),
		agent.DisableNodeMaintenance(),
		passing(1),
		agent.FailTTL("go-disk", "full"),
		state("go-disk", api.HealthCritical),
		passing(0),
		agent.CheckDeregister("go-disk"),
		passing(1),
	)
	if err != nil {
		return err
	}
	ofNode, _, err := health.Node(node, &api.QueryOptions{Filter: `ServiceName == ""`})
	if err != nil {
		return err
	}
	return errors.Join(
		equal("checks of the node", len(ofNode), 1),
		equal("check of the node", ofNode[0].CheckID, "serfHealth"),
		agent.ServiceDeregister("go-kept"),
		refusal("a check that is gone", agent.CheckDeregister("go-disk"), "404"),
	)
}

func catalog(members *cluster) error {
	one, two := members.one.Catalog(), members.two.Catalog()
	registration := &api.CatalogRegistration{
		Node:     "go-node",
		Address:  "10.9.8.7",
		NodeMeta: map[string]string{"rack": "r1"},
		Service:  &api.AgentService{ID: "go-db-1", Service: "go-db", Tags: []string{"main"}, Port: 5432},
		Check: &api.AgentCheck{
			Node: "go-node", CheckID: "go-db:up", Name: "up", Status: api.HealthPassing, ServiceID: "go-db-1",
		},
	}
	if _, err := one.Register(registration, nil); err != nil {
		return err
	}
	datacenters, err := two.Datacenters()
	if err != nil {
		return err
	}
	nodes, _, err := two.Nodes(&api.QueryOptions{NodeMeta: map[string]string{"rack": "r1"}})
	if err != nil {
		return err
	}
	node, _, err := two.Node("go-node", nil)
	if err != nil {
		return err
	}
	list, _, err := two.NodeServiceList("go-node", nil)
	if err != nil {
		return err
	}
	found, _, err := two.ServiceMultipleTags("go-db", []string{"main"}, &api.QueryOptions{Filter: "ServicePort == 5432"})
	if err != nil {
		return err
	}
	none, _, err := two.Service("go-db", "other", nil)
	if err != nil {
		return err
	}
	unknown, _, err := two.Node("go-none", nil)
	if err != nil {
		return err
	}
	if len(nodes) != 1 || len(found) != 1 || len(list.Services) != 1 {
		return fmt.Errorf("found: %v, %v, %v", nodes, found, list)
	}
	_, _, badFilter := two.Service("go-db", "", &api.QueryOptions{Filter: "Nothing == 1"})
	_, _, elsewhere := two.Services(&api.QueryOptions{Datacenter: "elsewhere"})
	err = errors.Join(
		equal("datacenters", fmt.Sprint(datacenters), "[dc1]"),
		equal("node", nodes[0].Node, "go-node"),
		equal("service of the node", node.Services["go-db-1"].Port, 5432),
		equal("service in the list", list.Services[0].Service, "go-db"),
		equal("address", found[0].Address, "10.9.8.7"),
		equal("port", found[0].ServicePort, 5432),
		equal("with another tag", len(none), 0),
		equal("no node", unknown == nil, true),
		refusal("a filter that is wrong", badFilter, "Nothing"),
		refusal("another datacenter", elsewhere, "No path to datacenter"),
	)
	if err != nil {
		return err
	}
	for _, part := range []*api.CatalogDeregistration{
		{Node: "go-node", CheckID: "go-db:up"},
		{Node: "go-node", ServiceID: "go-db-1"},
		{Node: "go-node"},
		{Node: "go-node"},
	} {
		if _, err := two.Deregister(part, nil); err != nil {
			return err
		}
	}
	gone, _, err := one.Node("go-node", nil)
	return errors.Join(err, equal("the node is gone", gone == nil, true))
}
