// What people do with their shares: make a root token, and change the shares.
package main

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/hashicorp/vault/api"
)

func rootToken(members *cluster) error {
	begun, err := members.two.Sys().GenerateRootInit("", "")
	if err != nil {
		return err
	}
	for _, key := range members.keys[:threshold] {
		next, err := members.two.Sys().GenerateRootUpdate(key, begun.Nonce)
		if err != nil {
			return err
		}
		if !next.Complete {
			continue
		}
		masked, err := base64.RawStdEncoding.DecodeString(next.EncodedRootToken)
		if err != nil {
			return err
		}
		for place := range masked {
			masked[place] ^= begun.OTP[place]
		}
		root, err := as(members.three, string(masked))
		if err != nil {
			return err
		}
		self, err := root.Auth().Token().LookupSelf()
		if err != nil {
			return err
		}
		return errors.Join(
			equal("policies", fmt.Sprint(self.Data["policies"]), "[root]"),
			equal("length of the password", len(begun.OTP), begun.OTPLength),
			root.Auth().Token().RevokeSelf(""),
		)
	}
	return errors.New("no token after as many shares as are needed")
}

func rekeyed(members *cluster) error {
	begun, err := members.three.Sys().RekeyInit(&api.RekeyInitRequest{SecretShares: shares, SecretThreshold: threshold})
	if err != nil {
		return err
	}
	for _, key := range members.keys[:threshold] {
		next, err := members.three.Sys().RekeyUpdate(key, begun.Nonce)
		if err != nil {
			return err
		}
		if next.Complete {
			members.keys = next.Keys
			if err := members.two.Sys().Seal(); err != nil {
				return err
			}
			_, sealed := members.two.Logical().Read("secret/data/app/a")
			return errors.Join(
				equal("shares", len(next.Keys), shares),
				refusal("a member that is sealed", sealed, "Vault is sealed"),
				unseal(members),
			)
		}
	}
	return errors.New("no shares after as many as are needed")
}

func verified(members *cluster) error {
	sys := members.two.Sys()
	begun, err := sys.RekeyInit(&api.RekeyInitRequest{
		SecretShares: shares + 2, SecretThreshold: threshold, RequireVerification: true,
	})
	if err != nil {
		return err
	}
	var made *api.RekeyUpdateResponse
	for _, key := range members.keys[:threshold] {
		if made, err = sys.RekeyUpdate(key, begun.Nonce); err != nil {
			return err
		}
	}
	before, err := sys.SealStatus()
	if err != nil {
		return err
	}
	restarted, err := sys.RekeyVerificationStatus()
	if err != nil {
		return err
	}
	nonce := made.VerificationNonce
	err = errors.Join(
		equal("complete", made.Complete, true),
		equal("to be verified", made.VerificationRequired, true),
		equal("shares before", before.N, shares),
		equal("nonce", restarted.Nonce, nonce),
	)
	if err != nil {
		return err
	}
	if err := sys.RekeyVerificationCancel(); err != nil {
		return err
	}
	_, stale := sys.RekeyVerificationUpdate(made.Keys[0], nonce)
	again, err := sys.RekeyVerificationStatus()
	if err != nil {
		return err
	}
	complete := false
	for _, key := range made.Keys[:threshold] {
		next, err := sys.RekeyVerificationUpdate(key, again.Nonce)
		if err != nil {
			return err
		}
		complete = next.Complete
	}
	old := members.keys
	members.keys = made.Keys
	after, err := members.three.Sys().SealStatus()
	if err != nil {
		return err
	}
	if err := members.three.Sys().Seal(); err != nil {
		return err
	}
	if _, err := members.three.Sys().Unseal(old[0]); err != nil {
		return err
	}
	_, void := members.three.Sys().Unseal(old[1])
	return errors.Join(
		equal("verified", complete, true),
		equal("shares after", after.N, shares+2),
		refusal("a nonce that was given up", stale, "Code: 400"),
		refusal("shares that are void", void, "Code: 400"),
		unseal(members),
	)
}
