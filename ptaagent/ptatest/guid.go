package ptatest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// guid is in the in-memory order of Windows: the first three fields little-endian.
type guid [16]byte

const zeroGUID = "00000000-0000-0000-0000-000000000000"

// newGUID is a random GUID (version 4) as text, lower case.
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// swap changes between the order of the text and that of memory.
func swap(b []byte) guid {
	return guid{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// parseGUID reads the form with four hyphens, lower case only.
func parseGUID(s string) (guid, bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return guid{}, false
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	for _, r := range digits {
		if r >= 'A' && r <= 'F' {
			return guid{}, false
		}
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return guid{}, false
	}
	return swap(b), true
}

// String is the form with hyphens, lower case.
func (g guid) String() string {
	b := swap(g[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
