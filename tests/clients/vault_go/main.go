// The official Go client of Vault, github.com/hashicorp/vault/api, against a cluster: one function for each claim.
//
// Usage: vault-go-client tokens|engines HOST:PORT HOST:PORT HOST:PORT
// The addresses are those of the members' interfaces. It exits with 0 if every claim holds. It prints `kill`, and goes on when
// the member at the first address is dead; and `start`, and goes on when that was started again.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	timeLimit = 110 * time.Second
	pause     = 50 * time.Millisecond
	shares    = 3
	threshold = 2
	// A client that watches over it renews it after two thirds of this.
	tokenTTL = 15 * time.Second
	policy   = `path "secret/data/app/*" { capabilities = ["create", "read", "update", "patch"] }
path "secret/metadata/app/*" { capabilities = ["read", "list"] }`
)

// A cluster, as clients of each member see it, and what was made of it so far.
type cluster struct {
	one, two, three *api.Client
	keys            []string
	app             *api.Secret
	watcher         *api.LifetimeWatcher
	wrapped         string
}

type claim struct {
	name string
	show func(*cluster) error
}

var claims = map[string][]claim{"tokens": tokenClaims, "engines": engineClaims}

var tokenClaims = []claim{
	{"a store is initialised once, and each member is unsealed by itself", opened},
	{"secrets have versions, on every member the same", secrets},
	{"a token may do what its policy says, and nothing else", rights},
	{"an answer is wrapped, and unwrapped once", wrapping},
	{"a root token is made by people with shares", rootToken},
	{"other shares are made by people with shares", rekeyed},
	{"new shares are in use once they were given back", verified},
	{"a watcher renews a token, and what was written is there, when a member is killed", death},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 4 || claims[arguments[0]] == nil {
		return errors.New("usage: vault-go-client tokens|engines HOST:PORT HOST:PORT HOST:PORT")
	}
	time.AfterFunc(timeLimit, func() {
		fmt.Fprintln(os.Stderr, "not done in", timeLimit)
		os.Exit(1)
	})
	var clients []*api.Client
	for _, address := range arguments[1:] {
		config := api.DefaultConfig()
		config.Address = "http://" + address
		client, err := api.NewClient(config)
		if err != nil {
			return err
		}
		client.ClearToken()
		clients = append(clients, client)
	}
	members := &cluster{one: clients[0], two: clients[1], three: clients[2]}
	for _, claim := range claims[arguments[0]] {
		began := time.Now()
		if err := claim.show(members); err != nil {
			return fmt.Errorf("%s: %w", claim.name, err)
		}
		fmt.Fprintln(os.Stderr, claim.name, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

func (members *cluster) all() []*api.Client {
	return []*api.Client{members.one, members.two, members.three}
}

func opened(members *cluster) error {
	for _, client := range members.all() {
		initialized, err := client.Sys().InitStatus()
		if err := errors.Join(err, equal("initialised before", initialized, false)); err != nil {
			return err
		}
	}
	request := &api.InitRequest{SecretShares: shares, SecretThreshold: threshold}
	made, err := members.one.Sys().Init(request)
	if err != nil {
		return err
	}
	_, again := members.two.Sys().Init(request)
	members.keys = made.Keys
	if err := unseal(members); err != nil {
		return err
	}
	for _, client := range members.all() {
		client.SetToken(made.RootToken)
		health, err := client.Sys().Health()
		if err != nil {
			return err
		}
		leader, err := client.Sys().Leader()
		err = errors.Join(
			err,
			equal("initialised", health.Initialized, true),
			equal("sealed", health.Sealed, false),
			equal("standby", health.Standby, false),
		)
		if err != nil {
			return err
		}
		if !leader.HAEnabled {
			return errors.New("no members but one")
		}
	}
	return errors.Join(
		equal("shares", len(made.Keys), shares),
		equal("shares in base64", len(made.KeysB64), shares),
		refusal("initialised again", again, "Vault is already initialized"),
	)
}

// unseal gives every member that is sealed as many shares as are needed.
func unseal(members *cluster) error {
	for _, client := range members.all() {
		status, err := client.Sys().SealStatus()
		for _, key := range members.keys[:threshold] {
			if err != nil {
				return err
			}
			if status.Sealed {
				status, err = client.Sys().Unseal(key)
			}
		}
		if err := errors.Join(err, equal("sealed", status.Sealed, false)); err != nil {
			return err
		}
	}
	return nil
}

func secrets(members *cluster) error {
	ctx := context.Background()
	err := members.one.Sys().Mount("secret", &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}})
	if err != nil {
		return err
	}
	first, err := members.two.KVv2("secret").Put(ctx, "app/a", map[string]any{"password": "one", "port": 5432})
	if err != nil {
		return err
	}
	_, stale := members.three.KVv2("secret").Put(ctx, "app/a", map[string]any{}, api.WithCheckAndSet(0))
	second, err := members.three.KVv2("secret").Patch(ctx, "app/a", map[string]any{"password": "two"})
	if err != nil {
		return err
	}
	for _, client := range members.all() {
		read, err := client.KVv2("secret").Get(ctx, "app/a")
		if err != nil {
			return err
		}
		old, err := client.KVv2("secret").GetVersion(ctx, "app/a", 1)
		if err != nil {
			return err
		}
		listed, err := client.Logical().List("secret/metadata/app")
		if err != nil {
			return err
		}
		_, missing := client.KVv2("secret").Get(ctx, "app/none")
		if !errors.Is(missing, api.ErrSecretNotFound) {
			return fmt.Errorf("a secret that is not there: %v", missing)
		}
		err = errors.Join(
			equal("password", read.Data["password"], any("two")),
			equal("port", fmt.Sprint(read.Data["port"]), "5432"),
			equal("password before", old.Data["password"], any("one")),
			equal("names", fmt.Sprint(listed.Data["keys"]), "[a]"),
		)
		if err != nil {
			return err
		}
	}
	return errors.Join(
		equal("first version", first.VersionMetadata.Version, 1),
		equal("second version", second.VersionMetadata.Version, 2),
		refusal("written over", stale, "check-and-set parameter did not match the current version"),
	)
}

func rights(members *cluster) error {
	if err := members.one.Sys().PutPolicy("go-app", policy); err != nil {
		return err
	}
	renewable := true
	created, err := members.two.Auth().Token().CreateOrphan(&api.TokenCreateRequest{
		Policies: []string{"go-app"}, TTL: tokenTTL.String(), Renewable: &renewable, DisplayName: "go",
	})
	if err != nil {
		return err
	}
	members.app = created
	app, err := as(members.three, created.Auth.ClientToken)
	if err != nil {
		return err
	}
	self, err := app.Auth().Token().LookupSelf()
	if err != nil {
		return err
	}
	capabilities, err := app.Sys().CapabilitiesSelf("secret/data/app/a")
	if err != nil {
		return err
	}
	_, elsewhere := app.Logical().Write("secret/data/else", map[string]any{"data": map[string]any{}})
	_, mounts := app.Sys().ListMounts()
	stranger, err := as(members.three, "hvs.0123456789abcdefghijklmn")
	if err != nil {
		return err
	}
	_, unknown := stranger.Auth().Token().LookupSelf()
	members.watcher, err = app.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: created})
	if err != nil {
		return err
	}
	go members.watcher.Start()
	return errors.Join(
		equal("policies", fmt.Sprint(created.Auth.Policies), "[default go-app]"),
		equal("accessor", fmt.Sprint(self.Data["accessor"]), created.Auth.Accessor),
		equal("capabilities", strings.Join(capabilities, " "), "create patch read update"),
		refusal("another secret", elsewhere, "permission denied"),
		refusal("the mounts", mounts, "permission denied"),
		refusal("a token that nobody made", unknown, "Code: 403"),
	)
}

func wrapping(members *cluster) error {
	wrapper, err := members.one.Clone()
	if err != nil {
		return err
	}
	wrapper.SetToken(members.one.Token())
	wrapper.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	for range 2 {
		answer, err := wrapper.Logical().Read("secret/data/app/a")
		if err != nil {
			return err
		}
		if answer.WrapInfo == nil || answer.Data != nil {
			return errors.New("the answer is not wrapped")
		}
		unwrapped := members.wrapped
		members.wrapped = answer.WrapInfo.Token
		if unwrapped == "" {
			continue
		}
		secret, err := members.two.Logical().Unwrap(unwrapped)
		if err != nil {
			return err
		}
		data, _ := secret.Data["data"].(map[string]any)
		_, again := members.three.Logical().Unwrap(unwrapped)
		err = errors.Join(
			equal("what was wrapped", data["password"], any("two")),
			equal("path", answer.WrapInfo.CreationPath, "secret/data/app/a"),
			equal("for how long", answer.WrapInfo.TTL, 300),
			refusal("unwrapped again", again, "wrapping token is not valid or does not exist"),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

func death(members *cluster) error {
	ctx := context.Background()
	if _, err := members.one.KVv2("secret").Put(ctx, "app/last", map[string]any{"password": "kept"}); err != nil {
		return err
	}
	if err := renewal(members); err != nil {
		return err
	}
	if err := told("kill"); err != nil {
		return err
	}
	app, err := as(members.three, members.app.Auth.ClientToken)
	if err != nil {
		return err
	}
	var read *api.KVSecret
	until(func() bool {
		read, err = app.KVv2("secret").Get(ctx, "app/last")
		return err == nil
	})
	unwrapped, err := members.two.Logical().Unwrap(members.wrapped)
	if err != nil {
		return err
	}
	data, _ := unwrapped.Data["data"].(map[string]any)
	_, again := members.three.Logical().Unwrap(members.wrapped)
	if _, err := app.KVv2("secret").Put(ctx, "app/last", map[string]any{"password": "new"}); err != nil {
		return err
	}
	after, err := members.two.KVv2("secret").Get(ctx, "app/last")
	if err != nil {
		return err
	}
	if err := renewal(members); err != nil {
		return err
	}
	members.watcher.Stop()
	self, err := app.Auth().Token().LookupSelf()
	if err != nil {
		return err
	}
	return errors.Join(
		equal("what was written", read.Data["password"], any("kept")),
		equal("what is written", after.Data["password"], any("new")),
		equal("what was wrapped", data["password"], any("two")),
		equal("whose token", fmt.Sprint(self.Data["accessor"]), members.app.Auth.Accessor),
		refusal("unwrapped again", again, "wrapping token is not valid or does not exist"),
	)
}

// renewal waits until the watcher has renewed its token.
func renewal(members *cluster) error {
	select {
	case err := <-members.watcher.DoneCh():
		return fmt.Errorf("the watcher gave up: %v", err)
	case renewed := <-members.watcher.RenewCh():
		return equal("for how long", renewed.Secret.Auth.LeaseDuration, int(tokenTTL.Seconds()))
	}
}

var input = bufio.NewReader(os.Stdin)

// told asks for something to be done to the first member, and returns when it was.
func told(what string) error {
	fmt.Println(what)
	_, err := input.ReadString('\n')
	return err
}

// as is the same member, asked with another token.
func as(member *api.Client, token string) (*api.Client, error) {
	client, err := member.Clone()
	if err != nil {
		return nil, err
	}
	client.SetToken(token)
	return client, nil
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
func until(condition func() bool) {
	for !condition() {
		time.Sleep(pause)
	}
}
