package partner

import (
	"errors"
	"strings"
	"time"

	"sallyport/federation/internal/xmlsec"
)

var errDuration = errors.New("not a duration")

// maxDuration bounds what a duration may say; more counts as this.
const maxDuration = 10 * 365 * 24 * time.Hour

// duration reads an xs:duration that is not negative (W3C XML Schema 2 §3.2.6),
// with years of 365 and months of 30 days.
func duration(s string) (time.Duration, error) {
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" {
		return 0, errDuration
	}
	const day = 24 * time.Hour
	date, clock, timed := strings.Cut(rest, "T")
	if timed && clock == "" {
		return 0, errDuration
	}
	total, err := fields(date, "YMD", []time.Duration{365 * day, 30 * day, day}, false)
	if err != nil {
		return 0, err
	}
	more, err := fields(clock, "HMS", []time.Duration{time.Hour, time.Minute, time.Second}, true)
	if err != nil {
		return 0, err
	}
	return min(total+more, maxDuration), nil
}

// fields reads numbers that are followed by letters of the given order.
func fields(s, letters string, units []time.Duration, fraction bool) (total time.Duration, err error) {
	next := 0
	for s != "" {
		n, i := int64(0), 0
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			n = min(n*10+int64(s[i]-'0'), int64(maxDuration/time.Second))
		}
		if i == 0 || i == len(s) {
			return 0, errDuration
		}
		if s[i] == '.' && fraction { // of seconds; too short to matter
			j := i + 1
			for ; j < len(s) && s[j] >= '0' && s[j] <= '9'; j++ {
			}
			if j == i+1 || j == len(s) || s[j] != 'S' {
				return 0, errDuration
			}
			i = j
		}
		at := strings.IndexByte(letters[next:], s[i])
		if at < 0 {
			return 0, errDuration
		}
		unit := units[next+at]
		if n > int64(maxDuration/unit) {
			n = int64(maxDuration / unit)
		}
		total = min(total+time.Duration(n)*unit, maxDuration)
		next, s = next+at+1, s[i+1:]
	}
	return total, nil
}

// instant reads an xs:dateTime; one without a zone is UTC (SAML Core 2.0 §1.3.3).
func instant(s string) (time.Time, error) {
	t, err := xmlsec.Instant(s)
	if err != nil {
		t, err = xmlsec.Instant(s + "Z")
	}
	return t, err
}
