package repeat_test

import (
	"context"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/federation/internal/repeat"
)

// judge answers with a reason and counts how often it was asked.
type judge struct {
	reason authn.Reason
	asked  int
}

func (j *judge) verdict() authn.Result { j.asked++; return authn.Result{Reason: j.reason} }

func TestOnlyRefusalsAreRemembered(t *testing.T) {
	for reason, remembered := range map[authn.Reason]bool{
		authn.WrongPassword: true, authn.LockedOut: true, authn.UnknownUser: true,
		authn.Accepted: false, authn.Unavailable: false, authn.Busy: false,
	} {
		v, err := repeat.New(repeat.Config{Key: make([]byte, 32)})
		if err != nil {
			t.Fatal(err)
		}
		j, id := &judge{reason: reason}, v.ID(time.Minute, []byte("message"))
		for range 2 {
			if res, _ := v.Verify(context.Background(), id, j.verdict); res.Reason != reason {
				t.Errorf("%s became %s", reason, res.Reason)
			}
		}
		if remembered != (j.asked == 1) {
			t.Errorf("%s: judged %d times", reason, j.asked)
		}
	}
}

func TestPartsKeepTheirBorders(t *testing.T) {
	v, err := repeat.New(repeat.Config{Key: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	if v.ID(time.Minute, []byte("ab"), []byte("c")) == v.ID(time.Minute, []byte("a"), []byte("bc")) {
		t.Error("two messages have one name")
	}
	if _, err := repeat.New(repeat.Config{Key: make([]byte, 16)}); err == nil {
		t.Error("a short key is taken")
	}
}
