package app

import (
	"context"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/directory"
)

// readings gives an account as it was at each moment of reading.
type readings struct {
	now   time.Time
	count int
}

func (r *readings) ByID(_ context.Context, domain string, id authn.GUID) (*authn.Account, error) {
	r.count++
	return &authn.Account{Domain: domain, ID: id, ReadAt: r.now, PwdLastSet: int64(r.count)}, nil
}

// Another instance has just signed the person in with a new password; what this
// instance read before it must not end that session.
func TestAReadingOlderThanTheSignInIsReadAgain(t *testing.T) {
	r := &readings{now: time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)}
	a := accounts{directory.NewCache(r, time.Minute, 10)}
	id := authn.GUID{1}
	read := func(since time.Time) int64 {
		t.Helper()
		acc, err := a.Account(t.Context(), "corp.contoso.test", id, since)
		if err != nil {
			t.Fatal(err)
		}
		return acc.PwdLastSet
	}
	signIn := r.now.Add(time.Minute)
	if got := read(r.now); got != 1 {
		t.Fatalf("reading %d", got)
	}
	r.now = signIn.Add(time.Second)
	if got := read(signIn); got != 2 {
		t.Errorf("a reading from before the sign-in was used")
	}
	if got := read(signIn); got != 2 || r.count != 2 {
		t.Errorf("reading %d of %d: a reading from after it was not kept", got, r.count)
	}
}
