package ptaagent_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/ptaagent"
	"sallyport/ptaagent/ptatest"
)

// vault is a store of keys that can be away.
type vault struct {
	mu   sync.Mutex
	keys map[string]*rsa.PrivateKey
	away bool
	out  [][]byte // what was decrypted, as it was handed out
}

func (v *vault) Generate(_ context.Context, ref string) (ptaagent.Key, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys == nil {
		v.keys = map[string]*rsa.PrivateKey{}
	}
	v.keys[ref] = key
	return vaultKey{key, v}, nil
}

func (v *vault) Open(_ context.Context, ref string) (ptaagent.Key, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys[ref] == nil {
		return nil, fmt.Errorf("no key %s", ref)
	}
	return vaultKey{v.keys[ref], v}, nil
}

func (v *vault) Destroy(_ context.Context, ref string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.keys, ref)
	return nil
}

func (v *vault) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.keys)
}

// vaultKey signs and decrypts, and does nothing else.
type vaultKey struct {
	key *rsa.PrivateKey
	v   *vault
}

func (k vaultKey) Public() crypto.PublicKey { return k.key.Public() }

func (k vaultKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.key.Sign(random, digest, opts)
}

func (k vaultKey) Decrypt(random io.Reader, text []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	k.v.mu.Lock()
	away := k.v.away
	k.v.mu.Unlock()
	if away {
		return nil, fmt.Errorf("no answer: %w", ptaagent.ErrKeyAway)
	}
	plain, err := k.key.Decrypt(random, text, opts)
	k.v.mu.Lock()
	defer k.v.mu.Unlock()
	k.v.out = append(k.v.out, plain)
	return plain, err
}

// P10: nothing of what was decrypted is left in the buffer that held it.
func TestP10_WhatWasDecryptedIsWiped(t *testing.T) {
	t.Parallel()
	v := &vault{}
	h := open(t, ptatest.Config{}, func(c *ptaagent.Config) { c.Floor = time.Millisecond })
	h.stop()
	h.wait(t, func(s ptatest.Stats) bool { return s.Links == 0 })
	dir := t.TempDir() + "/pta"
	_, err := ptaagent.Register(t.Context(), ptaagent.Registration{
		Tenant: h.cloud.Tenant, Token: h.cloud.AdminToken(), Dir: dir, Keys: v, Network: ptaagent.Network{Dial: h.cloud.DialContext, Roots: h.cloud.Roots()},
	})
	must(t, err)
	h.restart(t, dir, func(c *ptaagent.Config) {
		c.Identity, err = ptaagent.LoadIdentity(dir, v, time.Now())
		must(t, err)
		c.Floor = time.Millisecond
	})
	quoted, err := json.Marshal(right)
	must(t, err)
	twice := fmt.Appendf(nil, `{"Password":"secret","Password":%s}`, quoted)
	for _, s := range []ptatest.SignIn{
		{}, {Password: "wrong"}, {UPN: "alice@fabrikam.test"}, {Faults: &ptatest.Faults{Plaintext: []byte(`{"Password":"secret"`)}},
		{Faults: &ptatest.Faults{Plaintext: twice}}, {Faults: &ptatest.Faults{Plaintext: []byte(`{"Password":"secret\\uD800"}`)}},
	} {
		got, err := h.signIn(t, s)
		if err != nil || got.OK != (s == ptatest.SignIn{}) {
			t.Errorf("%+v: %+v, %v", s, got, err)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.out) != 6 {
		t.Errorf("%d texts were decrypted", len(v.out))
	}
	for i, text := range v.out {
		if len(text) == 0 || len(bytes.Trim(text, "\x00")) > 0 {
			t.Errorf("%d: %d bytes are left: %q", i, len(text), text)
		}
	}
}

func TestTheKeyStaysInItsStore(t *testing.T) {
	t.Parallel()
	v := &vault{}
	cloud, err := ptatest.Start(brief)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	dir := t.TempDir() + "/pta"
	r := ptaagent.Registration{
		Tenant: cloud.Tenant, Token: cloud.AdminToken(), Dir: dir, Keys: v, Network: ptaagent.Network{Dial: cloud.DialContext, Roots: cloud.Roots()},
	}
	cloud.SetFaults(ptatest.Faults{Register: ptatest.IssueRefused})
	if _, err := ptaagent.Register(t.Context(), r); err == nil || v.count() != 0 {
		t.Errorf("a refused registration leaves %d keys: %v", v.count(), err)
	}
	cloud.SetFaults(ptatest.Faults{})
	if _, err := ptaagent.Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	h := &house{cloud: cloud, people: &people{}, trail: &trail{}, log: &syncBuffer{}, dir: dir}
	agent, id := h.restart(t, dir, func(c *ptaagent.Config) {
		var err error
		if c.Identity, err = ptaagent.LoadIdentity(dir, v, time.Now()); err != nil {
			t.Fatal(err)
		}
		old(c)
	})
	before := id.Thumbprint()
	until(t, "a renewal", func() bool { return agent.Status().Thumbprint != before })
	if v.count() != 2 {
		t.Errorf("%d keys", v.count())
	}
	if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || !v.OK {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := h.signIn(t, ptatest.SignIn{Faults: &ptatest.Faults{BadCipher: true}}); err != nil || v.Reason != 1326 {
		t.Errorf("a text that cannot be decrypted: %+v, %v", v, err)
	}
	v.mu.Lock()
	v.away = true
	v.mu.Unlock()
	if v, err := h.signIn(t, ptatest.SignIn{}); err != nil || v.Reason != 1311 {
		t.Errorf("the store is away: %+v, %v", v, err)
	}
	files, _ := filepath.Glob(dir + "/*.pem")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || bytes.Contains(text, []byte("PRIVATE")) {
			t.Errorf("%s: %v", f, err)
		}
	}
	if _, err := ptaagent.LoadIdentity(dir, nil, time.Now()); err == nil || !strings.Contains(err.Error(), "pta.pkcs11") {
		t.Errorf("without the store: %v", err)
	}
	again, err := ptaagent.LoadIdentity(dir, v, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Tidy(time.Now().Add(time.Hour)); err != nil || v.count() != 1 {
		t.Errorf("%d keys are left: %v", v.count(), err)
	}
	h.well(t)
}
