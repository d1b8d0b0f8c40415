// What was acknowledged, while a member is killed and started again.
package main

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/vault/api"
)

// How much of each kind is acknowledged before a member is killed, and again after that.
const enough = 10

// What was acknowledged, of each kind.
type acknowledged struct {
	lock sync.Mutex
	// Paths of secrets; the value of each is its path.
	secrets []string
	// The same, of secrets without versions.
	plain []string
	// Ciphertexts, and what was encrypted.
	ciphertexts map[string]string
	// Numbers of certificates, and of those that were revoked.
	issued, revoked []string
}

// least is how many there are of the kind of which there are the fewest.
func (done *acknowledged) least() int {
	done.lock.Lock()
	defer done.lock.Unlock()
	return min(len(done.secrets), len(done.plain), len(done.ciphertexts), len(done.issued), len(done.revoked))
}

func (done *acknowledged) note(change func()) {
	done.lock.Lock()
	defer done.lock.Unlock()
	change()
}

// one does one thing of each kind at a member; what is not acknowledged may or may not have been done.
func (done *acknowledged) one(client *api.Client, name string) {
	path := "kv/data/kept/" + name
	if _, err := client.Logical().Write(path, map[string]any{"data": map[string]any{"path": path}}); err == nil {
		done.note(func() { done.secrets = append(done.secrets, path) })
	}
	plain := "flat/" + name
	if _, err := client.Logical().Write(plain, map[string]any{"path": plain}); err == nil {
		done.note(func() { done.plain = append(done.plain, plain) })
	}
	if ciphertext, err := encrypt(client, name); err == nil {
		done.note(func() { done.ciphertexts[ciphertext] = name })
	}
	serial, _, err := issue(client)
	if err != nil {
		return
	}
	done.note(func() { done.issued = append(done.issued, serial) })
	if _, err := client.Logical().Write("pki/revoke", map[string]any{"serial_number": serial}); err == nil {
		done.note(func() { done.revoked = append(done.revoked, serial) })
	}
}

func loss(members *cluster) error {
	if err := members.one.Sys().Mount("flat", &api.MountInput{Type: "kv"}); err != nil {
		return err
	}
	done := &acknowledged{ciphertexts: map[string]string{}}
	stop := make(chan struct{})
	var working sync.WaitGroup
	for member, client := range members.all() {
		working.Go(func() {
			for number := 0; ; number++ {
				select {
				case <-stop:
					return
				default:
					done.one(client, fmt.Sprintf("%d-%d", member, number))
				}
			}
		})
	}
	until(func() bool { return done.least() >= enough })
	if err := told("kill"); err != nil {
		return err
	}
	before := done.least()
	until(func() bool { return done.least() >= before+enough })
	if err := told("start"); err != nil {
		return err
	}
	close(stop)
	working.Wait()
	if err := unseal(members); err != nil {
		return err
	}
	for _, client := range members.all() {
		if err := done.isThere(client); err != nil {
			return fmt.Errorf("%s: %w", client.Address(), err)
		}
	}
	return errors.Join(loggedInAgain(members), othersAgain(members))
}

// isThere returns an error unless a member has all that was acknowledged.
func (done *acknowledged) isThere(client *api.Client) error {
	for _, path := range done.secrets {
		read, err := value(client, path, "path")
		if err := errors.Join(err, equal("secret", read, path)); err != nil {
			return err
		}
	}
	for _, path := range done.plain {
		read, err := client.Logical().Read(path)
		if err != nil {
			return err
		}
		if read == nil {
			return fmt.Errorf("%s is not there", path)
		}
		if err := equal("secret", fmt.Sprint(read.Data["path"]), path); err != nil {
			return err
		}
	}
	for ciphertext, text := range done.ciphertexts {
		if err := decrypts(client, ciphertext, text); err != nil {
			return err
		}
	}
	revoked := map[string]bool{}
	for _, serial := range done.revoked {
		revoked[serial] = true
	}
	for _, serial := range done.issued {
		read, err := client.Logical().Read("pki/cert/" + serial)
		if err != nil {
			return err
		}
		if read == nil {
			return fmt.Errorf("certificate %s is not there", serial)
		}
		if revoked[serial] && fmt.Sprint(read.Data["revocation_time"]) == "0" {
			return fmt.Errorf("certificate %s is not revoked", serial)
		}
	}
	return nil
}

// loggedInAgain has a user log in at the member that was killed.
func loggedInAgain(members *cluster) error {
	password := map[string]any{"password": "wonderland"}
	return errors.Join(
		loggedIn(members.one, members.two, "auth/userpass/login/alice", password),
		loggedIn(members.three, members.one, "auth/userpass/login/alice", password),
	)
}
