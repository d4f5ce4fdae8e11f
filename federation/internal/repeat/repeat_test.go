package repeat_test

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// TestT03_AFloodIsNotRemembered: what one instance keeps of refusals is bounded, and
// what was kept before a flood stays.
func TestT03_AFloodIsNotRemembered(t *testing.T) {
	now := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	v, err := repeat.New(repeat.Config{Key: make([]byte, 32), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	const most = 20_000
	asked := func(i int) int {
		j := &judge{reason: authn.WrongPassword}
		v.Verify(context.Background(), v.ID(time.Minute, binary.BigEndian.AppendUint32(nil, uint32(i))), j.verdict)
		return j.asked
	}
	for i := range most + 1 {
		asked(i)
	}
	if asked(0) != 0 || asked(most-1) != 0 {
		t.Error("a flood drives out what was remembered")
	}
	if asked(most) != 1 {
		t.Error("more is remembered than there is room for")
	}
	now = now.Add(2 * time.Minute)
	if asked(most+1) != 1 || asked(most+1) != 0 {
		t.Error("after the flood nothing is remembered any more")
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

// TestT03_CopiesOfWhatNobodyCouldJudgeAreNoHerd: copies that waited for a verdict which
// did not come are not all judged at once, or one wrong password would use up every
// failure that the account may have.
func TestT03_CopiesOfWhatNobodyCouldJudgeAreNoHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, err := repeat.New(repeat.Config{Key: make([]byte, 32)})
		if err != nil {
			t.Fatal(err)
		}
		id, hold := v.ID(time.Minute, []byte("message")), make(chan struct{})
		var asked atomic.Int32
		var copies sync.WaitGroup
		for range 20 {
			copies.Go(func() {
				res, _ := v.Verify(context.Background(), id, func() authn.Result {
					if asked.Add(1) > 1 { // the directory is there again
						return authn.Result{Reason: authn.WrongPassword}
					}
					<-hold
					return authn.Result{Reason: authn.Unavailable}
				})
				if res.Reason != authn.Unavailable {
					t.Errorf("a copy that waited: %s", res.Reason)
				}
			})
		}
		synctest.Wait()
		close(hold)
		copies.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("%d copies were judged at once", n)
		}
		// Who asks again is judged.
		if res, first := v.Verify(context.Background(), id, func() authn.Result { return authn.Result{Reason: authn.WrongPassword} }); res.Reason != authn.WrongPassword || !first {
			t.Errorf("afterwards: %s, first %v", res.Reason, first)
		}
	})
}
