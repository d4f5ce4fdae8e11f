package directorytest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// SID is a security identifier in its binary form ([MS-ADTS] via [MS-DTYP] 2.4.2.2).
type SID []byte

// Well-known identities.
const (
	sidAnonymous     = "S-1-5-7"
	sidEveryone      = "S-1-1-0"
	sidAuthenticated = "S-1-5-11"
	sidBuiltinUsers  = "S-1-5-32-545"
)

// ParseSID reads S-1-5-21-….
func ParseSID(s string) (SID, error) {
	parts := strings.Split(s, "-")
	if len(parts) < 3 || len(parts) > 18 || !strings.EqualFold(parts[0], "S") || parts[1] != "1" {
		return nil, fmt.Errorf("directorytest: %q is not a SID", s)
	}
	authority, err := strconv.ParseUint(parts[2], 10, 48)
	if err != nil {
		return nil, fmt.Errorf("directorytest: %q is not a SID", s)
	}
	out := SID{1, byte(len(parts) - 3), byte(authority >> 40), byte(authority >> 32), byte(authority >> 24),
		byte(authority >> 16), byte(authority >> 8), byte(authority)}
	for _, p := range parts[3:] {
		v, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("directorytest: %q is not a SID", s)
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	return out, nil
}

func mustSID(s string) SID {
	sid, err := ParseSID(s)
	if err != nil {
		panic(err) // only constants and checked values reach this
	}
	return sid
}

// String returns the S-1-… form.
func (s SID) String() string {
	if len(s) < 8 || len(s) != 8+4*int(s[1]) {
		return "invalid SID"
	}
	var authority uint64
	for _, x := range s[2:8] {
		authority = authority<<8 | uint64(x)
	}
	out := "S-1-" + strconv.FormatUint(authority, 10)
	for i := 8; i < len(s); i += 4 {
		out += "-" + strconv.FormatUint(uint64(binary.LittleEndian.Uint32(s[i:])), 10)
	}
	return out
}

// with returns the SID of a member of the domain whose SID s is.
func (s SID) with(rid uint32) SID {
	out := append(SID(nil), s...)
	out[1]++
	return binary.LittleEndian.AppendUint32(out, rid)
}

// parseGUID reads the registry form, with or without braces.
func parseGUID(s string) (g [16]byte, ok bool) {
	if len(s) == 38 && s[0] == '{' && s[37] == '}' {
		s = s[1:37]
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return g, false
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(raw) != 16 {
		return g, false
	}
	copy(g[:], raw)
	g[0], g[1], g[2], g[3] = raw[3], raw[2], raw[1], raw[0]
	g[4], g[5], g[6], g[7] = raw[5], raw[4], raw[7], raw[6]
	return g, true
}
