// The official Go client of Consul, github.com/hashicorp/consul/api, against a cluster: one function for each claim.
//
// Usage: consul-go-client claims|acls|lock|semaphore HOST:PORT HOST:PORT HOST:PORT
// The addresses are those of the members' interfaces. It exits with 0 if every claim holds. `acls` needs a cluster with
// ACLs that refuse by default. `lock` and `semaphore` print `kill`, and go on when the member at the first address is dead.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	timeLimit = 100 * time.Second
	pause     = 20 * time.Millisecond
)

// A cluster, as clients of each member see it.
type cluster struct {
	one, two, three *api.Client
	addresses       []string
}

type claim struct {
	name string
	show func(*cluster) error
}

var modes = map[string][]claim{
	"claims": {
		{"keys are put, read, listed and deleted", keys},
		{"a key is changed only if it is as it was seen", comparisons},
		{"a transaction changes everything or nothing", transactions},
		{"a blocking query waits for a change", waiting},
		{"an agent has services, and is told the state of their checks", services},
		{"an agent has checks of its own, and maintenance", maintenance},
		{"the catalog has nodes that no agent has", catalog},
		{"a session holds keys until it ends", sessions},
		{"a lock is held by one, and says why it is refused", lockErrors},
		{"a semaphore is held by as many as it says", semaphoreErrors},
		{"a prepared query finds what passes", queries},
		{"an event is seen by all members", events},
		{"watch plans see every change", plans},
		{"the members are told", members},
		{"a snapshot brings back what was there", snapshots},
		{"what is not supported is refused", refused},
	},
	"acls": {
		{"policies, roles and tokens allow what they say", tokens},
	},
	"lock": {
		{"a lock changes hands when the member of its holder dies", lockThroughDeath},
	},
	"semaphore": {
		{"a semaphore has never more holders than its limit while the leader dies", semaphoreThroughDeath},
	},
}

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(mode string, addresses []string) error {
	time.AfterFunc(timeLimit, func() {
		fmt.Fprintln(os.Stderr, "not done in", timeLimit)
		os.Exit(1)
	})
	var clients []*api.Client
	for _, address := range addresses {
		client, err := connect(address, "")
		if err != nil {
			return err
		}
		clients = append(clients, client)
	}
	shown := &cluster{clients[0], clients[1], clients[2], addresses}
	if mode != "acls" {
		if err := settle(shown); err != nil {
			return err
		}
	}
	for _, claim := range modes[mode] {
		began := time.Now()
		if err := claim.show(shown); err != nil {
			return fmt.Errorf("%s: %w", claim.name, err)
		}
		fmt.Fprintln(os.Stderr, claim.name, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// settle waits until every member is a node that passes.
func settle(members *cluster) error {
	return until("all members are nodes", func() (bool, error) {
		found, _, err := members.one.Health().Service("consul", "", true, nil)
		return len(found) == len(members.addresses), err
	})
}

func connect(address, token string) (*api.Client, error) {
	return api.NewClient(&api.Config{Address: address, Token: token})
}

// killFirst has the member at the first address killed.
func killFirst() error {
	fmt.Println("kill")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

// equal returns an error that says what was expected of what.
func equal[T comparable](what string, got, expected T) error {
	if got != expected {
		return fmt.Errorf("%s: got %v, expected %v", what, got, expected)
	}
	return nil
}

// refusal returns an error unless the given one has this text in it.
func refusal(what string, err error, text string) error {
	if err == nil || !strings.Contains(err.Error(), text) {
		return fmt.Errorf("%s: got %v, expected an error with %q", what, err, text)
	}
	return nil
}

// until waits for what is true some time later.
func until(what string, condition func() (bool, error)) error {
	for {
		done, err := condition()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if done {
			return nil
		}
		time.Sleep(pause)
	}
}
