package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// What differs from run to run or from member to member, and what later versions of etcd add to an answer.
var changing = map[string]bool{
	"cluster_id": true, "member_id": true, "raft_term": true, "raftTerm": true, "leader": true, "raftIndex": true,
	"raftAppliedIndex": true, "dbSize": true, "dbSizeInUse": true, "ttl": true, "token": true, "hash": true,
	"storageVersion": true, "dbSizeQuota": true, "downgradeInfo": true, "hash_revision": true,
	"clientURLs": true, "peerURLs": true,
}

// Ids are larger than any number that is looked at.
const largestNumber = 1 << 50

// see prints what a call has answered, and hands it on.
func see[T any](answer T, err error) T {
	name := strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", answer), "*"), "clientv3.")
	if err != nil {
		fmt.Printf("  %s: %v\n", name, text(err))
	} else {
		fmt.Printf("  %s %s\n", name, lasting(answer))
	}
	return answer
}

// seeOutcome prints the outcome of what has no answer.
func seeOutcome(what string, err error) {
	if err != nil {
		fmt.Printf("  %s: %v\n", what, text(err))
	} else {
		fmt.Printf("  %s\n", what)
	}
}

// text is an error as the library tells it, with the code of one that it knows.
func text(err error) string {
	if known, isKnown := rpctypes.Error(err).(rpctypes.EtcdError); isKnown {
		return fmt.Sprintf("%v (%v)", known.Error(), known.Code())
	}
	return err.Error()
}

// lasting is an answer as JSON without what changes.
func lasting(answer any) string {
	encoded, err := json.Marshal(answer)
	if err != nil {
		return err.Error()
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err.Error()
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(without(value)); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(text.String())
}

func without(value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, field := range value {
			// Of a key the version is a number, of a server it is text.
			if _, isText := field.(string); changing[name] || name == "version" && isText {
				continue
			}
			kept[name] = without(field)
		}
		// They come in the order of their ids.
		if members, areThere := kept["members"].([]any); areThere {
			slices.SortFunc(members, func(one, other any) int {
				return strings.Compare(fmt.Sprint(one), fmt.Sprint(other))
			})
		}
		return kept
	case []any:
		kept := make([]any, len(value))
		for index, element := range value {
			kept[index] = without(element)
		}
		return kept
	case json.Number:
		if number, err := value.Float64(); err == nil && math.Abs(number) > largestNumber {
			return "<id>"
		}
	}
	return value
}

// connect makes a client that is closed when the context is done.
func connect(ctx context.Context, config clientv3.Config) (*clientv3.Client, error) {
	client, err := clientv3.New(config)
	if err == nil {
		context.AfterFunc(ctx, func() { client.Close() })
	}
	return client, err
}

// settle waits until every member has applied what was acknowledged before. A member of an etcd does not know the token
// of a user who has logged in elsewhere until then, and a stream is not tried again.
func (c *cluster) settle(ctx context.Context) error {
	for _, member := range c.members {
		if _, err := member.Get(ctx, "go"); err != nil {
			return err
		}
	}
	return nil
}

// at is the configuration with one endpoint.
func at(config clientv3.Config, endpoint string) clientv3.Config {
	config.Endpoints = []string{endpoint}
	return config
}

// atLeader is the configuration with the endpoint of the member that leads, and that member's id.
func (c *cluster) atLeader(ctx context.Context, config clientv3.Config) (clientv3.Config, uint64, error) {
	for _, endpoint := range c.Endpoints() {
		status, err := c.Status(ctx, endpoint)
		if err != nil {
			return config, 0, err
		}
		if status.Leader == status.Header.MemberId {
			return at(config, endpoint), status.Leader, nil
		}
	}
	return config, 0, fmt.Errorf("no member leads")
}

// How long a change of the members may take before it is asked for again: an etcd drops one that comes too early, and
// wants its members to have been connected for a while.
const changeTimeLimit = 5 * time.Second

func changed[T any](ctx context.Context, change func(context.Context) (T, error)) (T, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, changeTimeLimit)
		answer, err := change(attempt)
		cancel()
		isEarly := err == rpctypes.ErrUnhealthy || err == context.DeadlineExceeded
		if !isEarly || ctx.Err() != nil {
			return answer, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
