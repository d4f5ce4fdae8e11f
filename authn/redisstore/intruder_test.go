package redisstore_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/authn/redisstore"
	"sallyport/authn/seal"
	"sallyport/authn/session"
	"sallyport/authn/session/sessiontest"
)

// victim is a session with what an intruder sees of it.
type victim struct {
	id           session.ID
	record, list string
}

func newVictim(t *testing.T, b backend, s *redisstore.Store, n byte, known ...victim) victim {
	t.Helper()
	id, err := s.Create(t.Context(), sessiontest.Example(n, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Use(t.Context(), id, "urn:federation:MicrosoftOnline"); err != nil {
		t.Fatal(err)
	}
	v := victim{id: id}
	for _, k := range b.keys() {
		seen := strings.Contains(k, "probe")
		for _, o := range known {
			seen = seen || k == o.record || k == o.list
		}
		switch {
		case seen:
		case strings.Contains(k, "s:{"):
			v.record = k
		case strings.Contains(k, "p:{"):
			v.list = k
		}
	}
	return v
}

// TestR01_WritingToRedisMakesNoSession has full write access and tries to become
// somebody else, or anybody.
func TestR01_WritingToRedisMakesNoSession(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		cfg := b.config()
		s := newStore(t, cfg)
		alice := newVictim(t, b, s, 1)
		mallory := newVictim(t, b, s, 2, alice)
		own, _, _ := b.get(mallory.record)
		other, _, _ := b.get(alice.record)
		_, parties, _ := b.get(mallory.list)

		box := func(purpose string, masters ...[]byte) *seal.Box {
			bx, err := seal.New(purpose, masters...)
			if err != nil {
				t.Fatal(err)
			}
			return bx
		}
		plain, err := session.AppendRecord(nil, func() *session.Session {
			x := sessiontest.Example(1, time.Now())
			x.StartedAt, x.Expires = time.Now(), time.Now().Add(time.Hour)
			return x
		}())
		if err != nil {
			t.Fatal(err)
		}
		aad := []byte(mallory.record)
		forgeries := map[string]string{
			"somebody else's record":            other,
			"bare record":                       string(plain),
			"empty":                             "",
			"sealed with a master of their own": string(box(seal.PurposeSession, seal.NewMaster()).Seal(nil, plain, aad)),
			"sealed for another purpose":        string(box(seal.PurposeTransaction, cfg.Masters...).Seal(nil, plain, aad)),
			"sealed as a party is":              string(box(seal.PurposeParties, cfg.Masters...).SealSame(nil, plain, aad)),
			"deterministic for sessions":        string(box(seal.PurposeSession, cfg.Masters...).SealSame(nil, plain, aad)),
			"sealed for another place":          string(box(seal.PurposeSession, cfg.Masters...).Seal(nil, plain, []byte(alice.record))),
			"sealed for no place":               string(box(seal.PurposeSession, cfg.Masters...).Seal(nil, plain, nil)),
			"a party's value":                   parties[0],
			"4 MB":                              strings.Repeat("x", 4<<20),
		}
		for i := range len(own) {
			flipped := []byte(own)
			flipped[i] ^= 1
			forgeries["bit flipped in byte "+hex.EncodeToString([]byte{byte(i)})] = string(flipped)
		}
		for what, forged := range forgeries {
			b.put(mallory.record, forged)
			if got, err := s.Use(t.Context(), mallory.id, ""); !errors.Is(err, session.ErrNone) || got != nil {
				t.Errorf("%s: %+v, %v", what, got, err)
			}
			if got, err := s.Peek(t.Context(), mallory.id); !errors.Is(err, session.ErrNone) || got != nil {
				t.Errorf("%s: Peek %+v, %v", what, got, err)
			}
		}
		b.putList(mallory.record, []string{own})
		if got, err := s.Use(t.Context(), mallory.id, "urn:x"); !errors.Is(err, session.ErrNone) {
			t.Errorf("value of another type: %+v, %v", got, err)
		}
		b.put(mallory.record, own) // the test's premise: the honest value does open
		if got, err := s.Use(t.Context(), mallory.id, ""); err != nil || got.Account[4] != 2 {
			t.Errorf("own record: %+v, %v", got, err)
		}
	})
}

func TestR01_PartiesOfAnotherSessionAreNotTaken(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		s := newStore(t, b.config())
		alice := newVictim(t, b, s, 1)
		mallory := newVictim(t, b, s, 2, alice)
		_, foreign, _ := b.get(alice.list)
		b.putList(mallory.list, append(foreign, "https://evil.test/", ""))
		got, err := s.End(t.Context(), mallory.id)
		if err != nil || len(got) != 0 {
			t.Errorf("End = %q, %v", got, err)
		}
		if got, err := s.End(t.Context(), alice.id); err != nil || len(got) != 1 {
			t.Errorf("the honest list: %q, %v", got, err)
		}
	})
}

// TestR01_ReadingRedisTellsNothing searches everything in Redis for what must not
// be there.
func TestR01_ReadingRedisTellsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		cfg := b.config()
		s := newStore(t, cfg)
		v := newVictim(t, b, s, 1)
		if _, err := s.Once(t.Context(), "saml-request", "_request-id-of-alice", time.Minute); err != nil {
			t.Fatal(err)
		}
		var dump strings.Builder
		for _, k := range b.keys() {
			text, list, _ := b.get(k)
			dump.WriteString(k + "\n" + text + "\n" + strings.Join(list, "\n") + "\n")
		}
		raw, err := base64.RawURLEncoding.DecodeString(v.id.Cookie())
		if err != nil {
			t.Fatal(err)
		}
		account := sessiontest.Example(1, time.Now()).Account
		for what, secret := range map[string]string{
			"cookie": v.id.Cookie(), "id": string(raw), "part of the id": string(raw[:8]), "domain": "contoso", "account": string(account[:]),
			"account in hex": hex.EncodeToString(account[:]), "account as text": account.String(), "party": "MicrosoftOnline",
			"request id": "_request-id", "master": string(cfg.Masters[0]), "password": gatewayPassword,
		} {
			for form, text := range map[string]string{
				"plain": secret, "hex": hex.EncodeToString([]byte(secret)), "base64": base64.StdEncoding.EncodeToString([]byte(secret))[:len(secret)],
				"base64url": base64.RawURLEncoding.EncodeToString([]byte(secret))[:len(secret)],
			} {
				if strings.Contains(dump.String(), text) {
					t.Errorf("Redis holds the %s (%s)", what, form)
				}
			}
		}
		if len(dump.String()) < 200 {
			t.Errorf("the dump has %d bytes: nothing was searched", dump.Len())
		}
	})
}

// TestR01_PartiesAreEquallyLong compares what two parties look like.
func TestR01_PartiesAreEquallyLong(t *testing.T) {
	f := startFake(t)
	s := newStore(t, f.config())
	v := newVictim(t, f, s, 1)
	if _, err := s.Use(t.Context(), v.id, "urn:a"); err != nil {
		t.Fatal(err)
	}
	_, list, _ := f.get(v.list)
	if len(list) != 3 || len(list[0]) != len(list[1]) { // two parties and the mark
		t.Errorf("%d entries of lengths %d and %d", len(list), len(list[0]), len(list[1]))
	}
}

// TestR05_RolledBackRecordEndsWithItsSeal writes a record back after its sign-out
// and makes it live for ever.
func TestR05_RolledBackRecordEndsWithItsSeal(t *testing.T) {
	onBoth(t, func(t *testing.T, b backend) {
		c := &clock{}
		cfg := b.config()
		cfg.Now = c.Now
		s := newStore(t, cfg)
		v := newVictim(t, b, s, 1)
		old, _, _ := b.get(v.record)
		if _, err := s.End(t.Context(), v.id); err != nil {
			t.Fatal(err)
		}
		if text, list, ttl := b.get(v.record); text == "" || text == old || list != nil || ttl <= 0 {
			t.Errorf("no tombstone: %d bytes, ttl %v", len(text), ttl)
		}
		if _, err := s.Use(t.Context(), v.id, ""); !errors.Is(err, session.ErrNone) {
			t.Errorf("after sign-out: %v", err)
		}
		b.put(v.record, old) // without an expiry
		c.skip(8*time.Hour + time.Second)
		if got, err := s.Use(t.Context(), v.id, ""); !errors.Is(err, session.ErrNone) {
			t.Errorf("past the sealed limit: %+v, %v", got, err)
		}
	})
}

func TestMasterIsReplacedWithoutLosingSessions(t *testing.T) {
	f := startFake(t)
	older, newer := seal.NewMaster(), seal.NewMaster()
	open := func(masters ...[]byte) *redisstore.Store {
		cfg := f.config()
		cfg.Masters = masters
		return newStore(t, cfg)
	}
	first, second := open(older, newer), open(newer, older)
	id, err := first.Create(t.Context(), sessiontest.Example(1, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*redisstore.Store{first, second, first} {
		if _, err := s.Use(t.Context(), id, "urn:a"); err != nil {
			t.Errorf("Use: %v", err)
		}
	}
	if got, err := second.End(t.Context(), id); err != nil || len(got) != 1 {
		t.Errorf("End = %q, %v", got, err)
	}
	if once, err := first.Once(t.Context(), "p", "k", time.Minute); err != nil || !once {
		t.Errorf("Once = %v, %v", once, err)
	}
	if once, err := second.Once(t.Context(), "p", "k", time.Minute); err != nil || once {
		t.Errorf("Once on the other instance = %v, %v", once, err)
	}
	if once, err := second.Once(t.Context(), "p", "k2", time.Minute); err != nil || !once {
		t.Errorf("Once with a new key = %v, %v", once, err)
	}
}
