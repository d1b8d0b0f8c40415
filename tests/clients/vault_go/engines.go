// The engines, the logins and the audit of a cluster, each member of which does a part of everything, while one is killed and
// started again.
package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/hashicorp/vault/api"
)

// How often a secret is written on one member and read on the others.
const rounds = 30

var engineClaims = []claim{
	{"a store is initialised once, and each member is unsealed by itself", opened},
	{"what is done is written down by each member", audited},
	{"a secret that was written on one member is read on every other at once", atOnce},
	{"certificates are issued and revoked by any member", certificates},
	{"what one member encrypts and signs, others decrypt and verify", ciphers},
	{"roles and users log in at any member", logins},
	{"secrets without versions are the same on every member", plainSecrets},
	{"bearers of signed tokens log in at any member", bearers},
	{"any member makes passwords by a policy", passwords},
	{"each member serves no more than a quota allows", limits},
	{"a socket is told of what each member does", heardOf},
	{"nothing that was acknowledged is lost when a member is killed, and it has all of it when it is back", loss},
}

// audited has each member write to a file in the directory that it has for audit files.
func audited(members *cluster) error {
	device := &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": "audit.log"}}
	if err := members.two.Sys().EnableAuditWithOptions("file", device); err != nil {
		return err
	}
	for _, client := range members.all() {
		devices, err := client.Sys().ListAudit()
		if err != nil {
			return err
		}
		if devices["file/"] == nil {
			return fmt.Errorf("the device is not there: %v", devices)
		}
	}
	outside := &api.EnableAuditOptions{Type: "file", Options: map[string]string{"file_path": "/etc/audit.log"}}
	return refusal("a file elsewhere", members.one.Sys().EnableAuditWithOptions("other", outside), "is not in")
}

func atOnce(members *cluster) error {
	err := members.three.Sys().Mount("kv", &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}})
	if err != nil {
		return err
	}
	clients := members.all()
	for round := range rounds {
		data := map[string]any{"data": map[string]any{"round": fmt.Sprint(round)}}
		if _, err := clients[round%3].Logical().Write("kv/data/once", data); err != nil {
			return err
		}
		for _, other := range []int{1, 2, 0} {
			read, err := value(clients[(round+other)%3], "kv/data/once", "round")
			if err := errors.Join(err, equal("round", read, fmt.Sprint(round))); err != nil {
				return err
			}
		}
	}
	return nil
}

// value is what a field of a secret with versions holds.
func value(client *api.Client, path, field string) (string, error) {
	read, err := client.Logical().Read(path)
	if err != nil {
		return "", err
	}
	if read == nil {
		return "", fmt.Errorf("%s is not there", path)
	}
	data, _ := read.Data["data"].(map[string]any)
	return fmt.Sprint(data[field]), nil
}

func certificates(members *cluster) error {
	if err := members.one.Sys().Mount("pki", &api.MountInput{Type: "pki"}); err != nil {
		return err
	}
	made, err := members.two.Logical().Write("pki/root/generate/internal", map[string]any{
		"common_name": "root", "key_type": "ec", "ttl": "48h",
	})
	if err != nil {
		return err
	}
	root, err := certificate(made)
	if err != nil {
		return err
	}
	_, err = members.three.Logical().Write("pki/roles/web", map[string]any{
		"allowed_domains": "example.com", "allow_subdomains": true, "key_type": "ec", "ttl": "1h",
	})
	if err != nil {
		return err
	}
	for place, client := range members.all() {
		serial, issued, err := issue(client)
		if err != nil {
			return err
		}
		authorities := x509.NewCertPool()
		authorities.AddCert(root)
		options := x509.VerifyOptions{Roots: authorities, DNSName: "a.example.com"}
		if _, err := issued.Verify(options); err != nil {
			return err
		}
		another := members.all()[(place+1)%3]
		if _, err := another.Logical().Write("pki/revoke", map[string]any{"serial_number": serial}); err != nil {
			return err
		}
		for _, member := range members.all() {
			if err := revoked(member, root, issued.SerialNumber); err != nil {
				return err
			}
		}
	}
	_, elsewhere := members.two.Logical().Write("pki/issue/web", map[string]any{"common_name": "example.org"})
	return refusal("a domain that is not allowed", elsewhere, "not allowed")
}

// certificate is that which an answer holds.
func certificate(answer *api.Secret) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(fmt.Sprint(answer.Data["certificate"])))
	if block == nil {
		return nil, errors.New("no certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// issue has a member make a certificate; it and its number, as the member writes it.
func issue(client *api.Client) (string, *x509.Certificate, error) {
	answer, err := client.Logical().Write("pki/issue/web", map[string]any{"common_name": "a.example.com"})
	if err != nil {
		return "", nil, err
	}
	issued, err := certificate(answer)
	return fmt.Sprint(answer.Data["serial_number"]), issued, err
}

// revoked returns an error unless the list that a member gives out is signed, and has that number in it.
func revoked(client *api.Client, root *x509.Certificate, serial *big.Int) error {
	response, err := client.Logical().ReadRaw("pki/crl")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	der, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	if err := list.CheckSignatureFrom(root); err != nil {
		return err
	}
	for _, entry := range list.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(serial) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%x is not in the list of %s", serial, client.Address())
}

func ciphers(members *cluster) error {
	if err := members.one.Sys().Mount("transit", &api.MountInput{Type: "transit"}); err != nil {
		return err
	}
	if _, err := members.two.Logical().Write("transit/keys/k", map[string]any{}); err != nil {
		return err
	}
	if _, err := members.three.Logical().Write("transit/keys/s", map[string]any{"type": "ed25519"}); err != nil {
		return err
	}
	first, err := encrypt(members.one, "hello")
	if err != nil {
		return err
	}
	if _, err := members.two.Logical().Write("transit/keys/k/rotate", nil); err != nil {
		return err
	}
	again, err := members.three.Logical().Write("transit/rewrap/k", map[string]any{"ciphertext": first})
	if err != nil {
		return err
	}
	second := fmt.Sprint(again.Data["ciphertext"])
	for _, client := range members.all() {
		for _, ciphertext := range []string{first, second} {
			if err := decrypts(client, ciphertext, "hello"); err != nil {
				return err
			}
		}
	}
	lowest := map[string]any{"min_decryption_version": 2}
	if _, err := members.one.Logical().Write("transit/keys/k/config", lowest); err != nil {
		return err
	}
	return errors.Join(
		equal("version before", strings.HasPrefix(first, "vault:v1:"), true),
		equal("version after", strings.HasPrefix(second, "vault:v2:"), true),
		refusal("a version that is too old", decrypts(members.two, first, "hello"), "too old"),
		decrypts(members.three, second, "hello"),
		signatures(members),
	)
}

func encrypt(client *api.Client, text string) (string, error) {
	plaintext := base64.StdEncoding.EncodeToString([]byte(text))
	answer, err := client.Logical().Write("transit/encrypt/k", map[string]any{"plaintext": plaintext})
	if err != nil {
		return "", err
	}
	return fmt.Sprint(answer.Data["ciphertext"]), nil
}

// decrypts returns an error unless that is what was encrypted.
func decrypts(client *api.Client, ciphertext, text string) error {
	answer, err := client.Logical().Write("transit/decrypt/k", map[string]any{"ciphertext": ciphertext})
	if err != nil {
		return err
	}
	expected := base64.StdEncoding.EncodeToString([]byte(text))
	return equal("what was encrypted", fmt.Sprint(answer.Data["plaintext"]), expected)
}

func signatures(members *cluster) error {
	message := []byte("message")
	input := base64.StdEncoding.EncodeToString(message)
	other := base64.StdEncoding.EncodeToString([]byte("another"))
	for place, client := range members.all() {
		signed, err := client.Logical().Write("transit/sign/s", map[string]any{"input": input})
		if err != nil {
			return err
		}
		signature := fmt.Sprint(signed.Data["signature"])
		verifier := members.all()[(place+1)%3]
		for given, isValid := range map[string]bool{input: true, other: false} {
			verified, err := verifier.Logical().Write("transit/verify/s", map[string]any{
				"input": given, "signature": signature,
			})
			if err != nil {
				return err
			}
			if err := equal("valid", fmt.Sprint(verified.Data["valid"]), fmt.Sprint(isValid)); err != nil {
				return err
			}
		}
		// Whoever has the public key needs no member.
		key, err := verifier.Logical().Read("transit/keys/s")
		if err != nil {
			return err
		}
		versions, _ := key.Data["keys"].(map[string]any)
		version, _ := versions["1"].(map[string]any)
		public, err := base64.StdEncoding.DecodeString(fmt.Sprint(version["public_key"]))
		if err != nil {
			return err
		}
		bytes, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "vault:v1:"))
		if err != nil {
			return err
		}
		if !ed25519.Verify(public, message, bytes) {
			return errors.New("the signature is not that of the public key")
		}
	}
	return nil
}

func logins(members *cluster) error {
	for _, kind := range []string{"approle", "userpass"} {
		if err := members.one.Sys().EnableAuthWithOptions(kind, &api.EnableAuthOptions{Type: kind}); err != nil {
			return err
		}
	}
	if err := members.two.Sys().PutPolicy("reader", `path "kv/data/*" { capabilities = ["read"] }`); err != nil {
		return err
	}
	_, err := members.three.Logical().Write("auth/approle/role/app", map[string]any{
		"token_policies": "reader", "secret_id_num_uses": 1, "token_ttl": "5m",
	})
	if err != nil {
		return err
	}
	_, err = members.one.Logical().Write("auth/userpass/users/alice", map[string]any{
		"password": "wonderland", "token_policies": "reader",
	})
	if err != nil {
		return err
	}
	for place, client := range members.all() {
		another, third := members.all()[(place+1)%3], members.all()[(place+2)%3]
		role, err := client.Logical().Read("auth/approle/role/app/role-id")
		if err != nil {
			return err
		}
		secret, err := another.Logical().Write("auth/approle/role/app/secret-id", nil)
		if err != nil {
			return err
		}
		given := map[string]any{"role_id": role.Data["role_id"], "secret_id": secret.Data["secret_id"]}
		if err := loggedIn(third, client, "auth/approle/login", given); err != nil {
			return err
		}
		_, again := another.Logical().Write("auth/approle/login", given)
		right, wrong := map[string]any{"password": "wonderland"}, map[string]any{"password": "underland"}
		if err := loggedIn(client, another, "auth/userpass/login/alice", right); err != nil {
			return err
		}
		_, denied := third.Logical().Write("auth/userpass/login/alice", wrong)
		err = errors.Join(
			refusal("a secret id that was used", again, "invalid role or secret ID"),
			refusal("another password", denied, "invalid username or password"),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// loggedIn has somebody log in at one member, and read at another.
func loggedIn(member, other *api.Client, path string, data map[string]any) error {
	login, err := member.Logical().Write(path, data)
	if err != nil {
		return err
	}
	app, err := as(other, login.Auth.ClientToken)
	if err != nil {
		return err
	}
	read, err := value(app, "kv/data/once", "round")
	_, denied := app.Logical().Write("kv/data/once", map[string]any{"data": map[string]any{}})
	return errors.Join(
		err,
		equal("policies", fmt.Sprint(login.Auth.Policies), "[default reader]"),
		equal("what is read", read, fmt.Sprint(rounds-1)),
		refusal("what is written", denied, "permission denied"),
	)
}
