package partner_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/federation/partner"
)

func TestIntervalsFollowTheDocumentWithinBounds(t *testing.T) {
	for name, c := range map[string]struct {
		attributes string
		low, high  time.Duration
	}{
		"nothing said": {"", 10 * time.Hour, 14 * time.Hour},
		"a minute":     {`cacheDuration="PT1M"`, 54 * time.Minute, 67 * time.Minute},
		"four hours":   {`cacheDuration="PT4H"`, 3 * time.Hour, 5 * time.Hour},
		"a year":       {`cacheDuration="P1Y"`, 21 * time.Hour, 27 * time.Hour},
		"a near end":   {`validUntil="END"`, 4 * time.Hour, 6 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(t, func(s *partner.Source) { s.Certificates = nil })
				attributes := strings.Replace(c.attributes, "END", time.Now().Add(10*time.Hour).UTC().Format(time.RFC3339), 1)
				s.server.answer(200, describe(wiki, attributes, "", ""), http.Header{"Etag": {"x"}}, nil)
				if err := s.open(); err != nil {
					t.Fatal(err)
				}
				s.server.answer(304, "", nil, nil)
				s.after(c.low)
				if n := len(s.server.requests()); n != 1 {
					t.Fatalf("%d requests after %v", n, c.low)
				}
				s.after(c.high - c.low)
				if n := len(s.server.requests()); n != 2 || s.counted("unchanged") != 1 || s.changes != 1 {
					t.Errorf("%d requests after %v", n, c.high)
				}
				s.stop()
			})
		})
	}
}

func TestFailuresBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, nil)
		s.server.answer(0, "", nil, errors.New("down"))
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		s.after(24 * time.Hour)
		if n := len(s.server.requests()); n < 20 || n > 36 {
			t.Errorf("%d requests in a day of failures", n)
		}
		if n := strings.Count(s.log.String(), "down"); n != 1 {
			t.Errorf("the log says it %d times", n)
		}
		s.stop()
	})
}
