// What is asked of a cluster more rarely: secrets without versions, logins by signed tokens, passwords by a policy, quotas,
// and audit to a socket.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
)

// Who signs tokens, and what the devices of the members were heard to say.
var (
	signer *ecdsa.PrivateKey
	heard  sink
)

// What a quota allows in a time that is longer than the run.
const allowed = 3

// A socket that audit devices write to.
type sink struct {
	lock    sync.Mutex
	records []string
}

// serve keeps every line of every connection.
func (heard *sink) serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			lines := bufio.NewScanner(connection)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				heard.lock.Lock()
				heard.records = append(heard.records, lines.Text())
				heard.lock.Unlock()
			}
		}()
	}
}

// has tells whether a record of an answer has all of these texts in it.
func (heard *sink) has(texts ...string) bool {
	heard.lock.Lock()
	defer heard.lock.Unlock()
	for _, record := range heard.records {
		missing := 0
		for _, text := range append(texts, `"type":"response"`) {
			if !strings.Contains(record, text) {
				missing++
			}
		}
		if missing == 0 {
			return true
		}
	}
	return false
}

func plainSecrets(members *cluster) error {
	if err := members.two.Sys().Mount("plain", &api.MountInput{Type: "kv", Options: map[string]string{"version": "1"}}); err != nil {
		return err
	}
	if _, err := members.one.Logical().Write("plain/a", map[string]any{"k": "one", "ttl": "1m"}); err != nil {
		return err
	}
	if _, err := members.three.Logical().Write("plain/a", map[string]any{"k": "two"}); err != nil {
		return err
	}
	for _, client := range members.all() {
		read, err := client.Logical().Read("plain/a")
		if err != nil {
			return err
		}
		listed, err := client.Logical().List("plain")
		if err != nil {
			return err
		}
		err = errors.Join(
			equal("secret", fmt.Sprint(read.Data), "map[k:two]"),
			equal("names", fmt.Sprint(listed.Data["keys"]), "[a]"),
			equal("lease", read.LeaseDuration, 2764800),
		)
		if err != nil {
			return err
		}
	}
	if _, err := members.two.Logical().Delete("plain/a"); err != nil {
		return err
	}
	read, err := members.one.Logical().Read("plain/a")
	return errors.Join(err, equal("deleted", read == nil, true))
}

// bearer is a token that the signer makes, with some claims in place of the usual ones.
func bearer(key *ecdsa.PrivateKey, other map[string]any) (string, error) {
	claims := map[string]any{
		"iss": "https://issuer.test", "aud": "stead", "sub": "worker",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	for name, value := range other {
		claims[name] = value
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`))
	signed := header + "." + base64.RawURLEncoding.EncodeToString(text)
	digest := sha256.Sum256([]byte(signed))
	left, right, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	signature := append(left.FillBytes(make([]byte, 32)), right.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func bearers(members *cluster) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	signer = key
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	if err := members.three.Sys().EnableAuthWithOptions("jwt", &api.EnableAuthOptions{Type: "jwt"}); err != nil {
		return err
	}
	_, err = members.one.Logical().Write("auth/jwt/config", map[string]any{
		"jwt_validation_pubkeys": []string{text}, "bound_issuer": "https://issuer.test",
	})
	if err != nil {
		return err
	}
	_, err = members.two.Logical().Write("auth/jwt/role/worker", map[string]any{
		"role_type": "jwt", "bound_audiences": []string{"stead"}, "user_claim": "sub",
		"token_policies": "reader", "token_ttl": "5m",
	})
	if err != nil {
		return err
	}
	return bearersLogIn(members)
}

// bearersLogIn has a bearer of a right token log in at each member, and those of wrong ones nowhere.
func bearersLogIn(members *cluster) error {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	for place, client := range members.all() {
		right, err := bearer(signer, nil)
		if err != nil {
			return err
		}
		given := map[string]any{"role": "worker", "jwt": right}
		if err := loggedIn(client, members.all()[(place+1)%3], "auth/jwt/login", given); err != nil {
			return err
		}
		for _, claims := range []map[string]any{
			{"aud": "others"},
			{"iss": "https://others.test"},
			{"exp": time.Now().Add(-time.Hour).Unix()},
			nil,
		} {
			signedBy := signer
			if claims == nil {
				signedBy = stranger
			}
			wrong, err := bearer(signedBy, claims)
			if err != nil {
				return err
			}
			_, denied := client.Logical().Write("auth/jwt/login", map[string]any{"role": "worker", "jwt": wrong})
			if err := refusal(fmt.Sprint("a token with ", claims), denied, "Code: 4"); err != nil {
				return err
			}
		}
	}
	return nil
}

func passwords(members *cluster) error {
	rules := `length = 20
rule "charset" { charset = "abcdef" min-chars = 15 }
rule "charset" { charset = "0123" min-chars = 2 }`
	if _, err := members.two.Logical().Write("sys/policies/password/letters", map[string]any{"policy": rules}); err != nil {
		return err
	}
	return passwordsFit(members)
}

// passwordsFit has each member make a password.
func passwordsFit(members *cluster) error {
	fits := regexp.MustCompile("^[a-f0-3]{20}$")
	known := map[string]bool{}
	for _, client := range members.all() {
		made, err := client.Logical().Read("sys/policies/password/letters/generate")
		if err != nil {
			return err
		}
		password := fmt.Sprint(made.Data["password"])
		err = errors.Join(
			equal("fits its policy", fits.MatchString(password), true),
			equal("made before", known[password], false),
		)
		if err != nil {
			return err
		}
		known[password] = true
	}
	return nil
}

func limits(members *cluster) error {
	_, err := members.one.Logical().Write("sys/quotas/rate-limit/few", map[string]any{
		"path": "plain/", "rate": allowed, "interval": "1h",
	})
	if err != nil {
		return err
	}
	for _, client := range members.all() {
		// From when it has heard of it.
		if _, err := client.Sys().ListMounts(); err != nil {
			return err
		}
		if err := isLimited(client); err != nil {
			return err
		}
	}
	return nil
}

// isLimited returns an error unless a member serves no more than the quota allows.
func isLimited(member *api.Client) error {
	client, err := as(member, member.Token())
	if err != nil {
		return err
	}
	// What is refused is not asked again.
	client.SetMaxRetries(0)
	served := 0
	for range 2 * allowed {
		_, err := client.Logical().Read("plain/none")
		switch {
		case err == nil:
			served++
		case !strings.Contains(err.Error(), "Code: 429"):
			return err
		}
	}
	return equal("served", served <= allowed, true)
}

func heardOf(members *cluster) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go heard.serve(listener)
	device := &api.EnableAuditOptions{Type: "socket", Options: map[string]string{
		"address": listener.Addr().String(), "socket_type": "tcp",
	}}
	if err := members.three.Sys().EnableAuditWithOptions("socket", device); err != nil {
		return err
	}
	return heardOfEach(members, "before")
}

// heardOfEach has each member serve a request of its own, which the socket is told of, but not its value.
func heardOfEach(members *cluster, when string) error {
	for place, client := range members.all() {
		path := fmt.Sprintf("cubbyhole/%s-%d", when, place)
		if _, err := client.Logical().Write(path, map[string]any{"k": "canary-of-the-socket"}); err != nil {
			return err
		}
		until(func() bool { return heard.has(fmt.Sprintf(`"path":"%s"`, path), "hmac-sha256:") })
	}
	return equal("a value is heard", heard.has("canary-of-the-socket"), false)
}

// othersAgain is what holds of all this when the member that was killed is back.
func othersAgain(members *cluster) error {
	return errors.Join(
		bearersLogIn(members),
		passwordsFit(members),
		isLimited(members.one),
		heardOfEach(members, "after"),
	)
}
