package directory

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"sallyport/authn"
)

// ErrSID says that bytes are not a security identifier.
var ErrSID = errors.New("directory: not a SID")

// SIDString returns the S-1-… form of a binary SID ([MS-ADTS] through [MS-DTYP]
// 2.4.2): revision 1, at most 15 sub-authorities, length 8 + 4n exactly.
func SIDString(b []byte) (string, error) {
	if len(b) < 8 || b[0] != 1 || b[1] > 15 || len(b) != 8+4*int(b[1]) {
		return "", ErrSID
	}
	authority := uint64(0)
	for _, c := range b[2:8] {
		authority = authority<<8 | uint64(c)
	}
	out := make([]byte, 0, 64)
	out = append(out, "S-1-"...)
	out = strconv.AppendUint(out, authority, 10)
	for i := 8; i < len(b); i += 4 {
		out = append(out, '-')
		out = strconv.AppendUint(out, uint64(binary.LittleEndian.Uint32(b[i:])), 10)
	}
	return string(out), nil
}

// ParseSID returns the binary form of S-1-….
func ParseSID(s string) ([]byte, error) {
	parts := strings.Split(s, "-")
	if len(parts) < 3 || len(parts) > 3+15 || parts[0] != "S" || parts[1] != "1" {
		return nil, ErrSID
	}
	authority, err := strconv.ParseUint(parts[2], 10, 48)
	if err != nil || strconv.FormatUint(authority, 10) != parts[2] {
		return nil, ErrSID
	}
	out := make([]byte, 8, 8+4*(len(parts)-3))
	out[0], out[1] = 1, byte(len(parts)-3)
	for i := range 6 {
		out[2+i] = byte(authority >> (40 - 8*i))
	}
	for _, p := range parts[3:] {
		v, err := strconv.ParseUint(p, 10, 32)
		if err != nil || strconv.FormatUint(v, 10) != p {
			return nil, ErrSID
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	return out, nil
}

// guidOf copies an objectGUID as LDAP returns it.
func guidOf(b []byte) (authn.GUID, bool) {
	var g authn.GUID
	if len(b) != len(g) {
		return g, false
	}
	copy(g[:], b)
	return g, !g.IsZero()
}

// The bounds of a FILETIME that names an instant; outside them it is a sentinel
// ("never", "not set").
const (
	fileTimeUnix = 116444736000000000  // 1970-01-01
	fileTimeMax  = 2650467743990000000 // 9999-12-31T23:59:59Z
)

// fileTime converts 100 ns since 1601 to an instant; ok is false for the
// sentinels. It never goes through a Duration, which ends after 292 years.
func fileTime(v int64) (t time.Time, ok bool) {
	if v <= 0 || v > fileTimeMax {
		return time.Time{}, false
	}
	v -= fileTimeUnix
	sec, rest := v/1e7, v%1e7
	return time.Unix(sec, rest*100).UTC(), true
}

// interval converts AD's negative 100 ns count to a duration; -2^63 and 0 mean
// that there is no limit and give ok false.
func interval(v int64) (d time.Duration, ok bool) {
	if v == 0 || v == math.MinInt64 {
		return 0, false
	}
	if v > 0 {
		v = -v
	}
	if v < math.MinInt64/100 {
		return math.MaxInt64, true
	}
	return time.Duration(-v * 100), true
}
