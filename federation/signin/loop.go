package signin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"
)

// Loop detection: one browser that gets more than loopTokens tokens for one party
// within loopWindow is in a circle between the two of us.
//
// The count lives in a cookie of the browser. It is right on every instance
// without a question to the store, needs no bound or clean-up here, and goes away
// by itself. It is not sealed: who changes or drops it can only stop, or not stop,
// their own browser, and a browser without cookies has no session to loop with.
const (
	loopTokens  = 5
	loopWindow  = 20 * time.Second
	loopParties = 4 // parties counted at a time; the oldest makes room
)

// loopEntry counts one party: a short hash of its key, and when tokens were given
// (Unix seconds, latest last).
type loopEntry struct {
	party [4]byte
	at    []uint32
}

const loopEntrySize = 4 + 1 + 4*loopTokens

// passLoop counts a token for a party; false means that it would be one too many.
func (f *Flow) passLoop(w http.ResponseWriter, r *http.Request, party string) bool {
	now := uint32(f.cfg.Now().Unix())
	sum := sha256.Sum256([]byte(party))
	entries := readLoop(r, now)
	current := loopEntry{party: [4]byte(sum[:4])}
	kept := entries[:0]
	for _, e := range entries {
		if e.party == current.party {
			current.at = e.at
		} else {
			kept = append(kept, e)
		}
	}
	ok := len(current.at) < loopTokens
	if ok {
		current.at = append(current.at, now)
	}
	kept = append(kept, current)
	if len(kept) > loopParties {
		kept = kept[len(kept)-loopParties:]
	}
	setCookie(w, loopCookie, formatLoop(kept), loopWindow)
	return ok
}

// readLoop reads the cookie; instants outside of the window are dropped, and so
// is everything that is not of our making.
func readLoop(r *http.Request, now uint32) []loopEntry {
	c, err := r.Cookie(loopCookie)
	if err != nil || len(c.Value) > base64.RawURLEncoding.EncodedLen(loopEntrySize*loopParties) {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return nil
	}
	var all []loopEntry
	for len(b) >= 5 {
		e, n := loopEntry{party: [4]byte(b[:4])}, int(b[4])
		if b = b[5:]; n > loopTokens || len(b) < 4*n {
			return nil
		}
		for range n {
			at := binary.BigEndian.Uint32(b)
			if b = b[4:]; at <= now && now-at < uint32(loopWindow/time.Second) {
				e.at = append(e.at, at)
			}
		}
		if len(e.at) > 0 {
			all = append(all, e)
		}
	}
	return all
}

func formatLoop(all []loopEntry) string {
	var b []byte
	for _, e := range all {
		b = append(b, e.party[:]...)
		b = append(b, byte(len(e.at)))
		for _, at := range e.at {
			b = binary.BigEndian.AppendUint32(b, at)
		}
	}
	return base64.RawURLEncoding.EncodeToString(b)
}
