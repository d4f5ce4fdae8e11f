package xmlsec_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/federation/internal/xmlsec"
)

// A stream that refers to bytes before its beginning must not be shown what the
// stream before it held.
func TestInflateForgetsTheStreamBefore(t *testing.T) {
	secret := []byte("a-logout-request-that-names-somebody-else")
	compress := func(dict, data []byte) []byte {
		var b bytes.Buffer
		w, err := flate.NewWriterDict(&b, flate.BestCompression, dict)
		if err == nil {
			_, err = w.Write(data)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	whole, thief := compress(nil, secret), compress(secret, secret)
	for range 100 { // whichever reader the pool gives
		if got, err := xmlsec.Inflate(whole, 1000); err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%q, %v", got, err)
		}
		if got, err := xmlsec.Inflate(thief, 1000); !errors.Is(err, xmlsec.ErrEncoding) {
			t.Fatalf("%q, %v: a reference to before the beginning", got, err)
		}
	}
}

func TestTimesHaveMilliseconds(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for _, tc := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2031, 3, 4, 10, 15, 0, 0, zone), "2031-03-04T09:15:00.000Z"},
		{time.Date(2031, 12, 31, 23, 59, 59, 999_999_999, time.UTC), "2031-12-31T23:59:59.999Z"},
		{time.Date(1000, 1, 1, 0, 0, 0, 7_000_000, time.UTC), "1000-01-01T00:00:00.007Z"},
		{time.Date(9999, 12, 31, 0, 0, 0, 120_000_000, time.UTC), "9999-12-31T00:00:00.120Z"},
	} {
		var w xmlsec.Writer
		w.Reset(nil)
		w.Time("at", tc.at)
		if got, err := w.Bytes(); err != nil || string(got) != tc.want {
			t.Errorf("%s: %s, %v", tc.at, got, err)
		}
	}
}

func TestInstantHasOneReading(t *testing.T) {
	for s, want := range map[string]string{
		"2026-12-01T09:00:00Z": "2026-12-01T09:00:00Z", "2026-12-01T09:00:00.2150299Z": "2026-12-01T09:00:00.2150299Z",
		"2026-12-01T23:00:00+14:00": "2026-12-01T09:00:00Z", "2026-11-30T21:30:00-11:30": "2026-12-01T09:00:00Z", "2026-12-01T09:00:00-00:00": "2026-12-01T09:00:00Z",
	} {
		if got, err := xmlsec.Instant(s); err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "2026-12-01T09:00:00", "2026-12-01", "2026-12-01T09:00:60Z", "2026-12-01T24:00:00Z", "2026-12-01T09:00:00,5Z", "2026-12-02T09:00:00+24:00",
		"2026-12-01T09:00:00+14:01", "2026-12-01T09:00:00-14:30", "2026-12-01t09:00:00z", "2026-12-01 09:00:00Z", "12026-12-01T09:00:00Z", "-2026-12-01T09:00:00Z",
		" 2026-12-01T09:00:00Z", "2026-12-01T09:00:00." + strings.Repeat("1", 60) + "Z", "2026-02-30T09:00:00Z",
	} {
		if got, err := xmlsec.Instant(s); err == nil {
			t.Errorf("%q: taken for %v", s, got)
		}
	}
}
