package redisstore

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/authn/session"
)

// Somebody with made-up sessions can fill the list; the admin must hear of it.
func TestR06_ADroppedSignOutIsSaidOnceForEachOutage(t *testing.T) {
	var log bytes.Buffer
	h := &health{log: slog.New(slog.NewTextHandler(&log, nil)), wake: make(chan struct{}, 1), endings: map[string]ending{}}
	h.trip(session.ErrUnavailable)
	for i := range maxEnded + 3 {
		h.remember(session.ID{}, strconv.Itoa(i), time.Now())
	}
	if n := strings.Count(log.String(), "could not be kept"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if len(h.endings) != maxEnded {
		t.Errorf("%d endings are kept", len(h.endings))
	}
	h.probed(nil)
	h.remember(session.ID{}, "one more", time.Now())
	if n := strings.Count(log.String(), "could not be kept"); n != 2 {
		t.Errorf("in the next outage it was said %d times in all", n)
	}
}

func TestR08_NoOldTLSIsSpokenWithRedis(t *testing.T) {
	mine := &tls.Config{MinVersion: tls.VersionTLS10, ServerName: "redis.contoso.test"}
	got := (&Config{TLS: mine}).options().TLSConfig
	if got.MinVersion != tls.VersionTLS12 || got.ServerName != mine.ServerName {
		t.Errorf("%x, %s", got.MinVersion, got.ServerName)
	}
	if mine.MinVersion != tls.VersionTLS10 {
		t.Error("the caller's settings were changed")
	}
}
