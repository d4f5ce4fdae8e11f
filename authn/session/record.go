package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"sallyport/authn"
)

// MaxRecord is the longest record in bytes, before sealing.
const MaxRecord = 128

// maxDomain follows from MaxRecord; AD itself ends at 64 bytes for the DNS name of
// a domain.
const maxDomain = MaxRecord - recordFixed

// Record layout, version 1, integers big-endian:
//
//	 0      version, 1
//	 1      flags
//	 2      method
//	 3-18   account (objectGUID)
//	19-26   authenticated at, Unix milliseconds
//	27-34   started at, Unix milliseconds
//	35-42   expires, Unix milliseconds
//	43-50   pwdLastSet
//	51-     domain
const (
	recordVersion = 1
	recordFixed   = 51

	flagPersistent = 0x01
	flagEnded      = 0x80 // tombstone: the rest is void but Expires
	flagsKnown     = flagPersistent | flagEnded
)

// ErrRecord says that bytes are not a record. After a seal has opened this means
// a newer version of the software or a fault, not an attack.
var ErrRecord = errors.New("session: not a session record")

// AppendRecord appends the record of s to dst. Instants are cut to milliseconds.
func AppendRecord(dst []byte, s *Session) ([]byte, error) {
	switch {
	case s.Account.IsZero():
		return nil, errors.New("session: account is missing")
	case len(s.Domain) == 0 || len(s.Domain) > maxDomain:
		return nil, fmt.Errorf("session: domain name of %d bytes, 1 to %d can be kept", len(s.Domain), maxDomain)
	case s.Method == authn.MethodNone:
		return nil, errors.New("session: method is missing")
	}
	var flags byte
	if s.Persistent {
		flags |= flagPersistent
	}
	dst = append(dst, recordVersion, flags, byte(s.Method))
	dst = append(dst, s.Account[:]...)
	for _, t := range [...]time.Time{s.AuthenticatedAt, s.StartedAt, s.Expires} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(t.UnixMilli()))
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.PwdLastSet))
	return append(dst, s.Domain...), nil
}

// AppendTombstone appends the record that stands in the place of an ended
// session until expires.
func AppendTombstone(dst []byte, expires time.Time) []byte {
	var r [recordFixed]byte
	r[0], r[1] = recordVersion, flagEnded
	binary.BigEndian.PutUint64(r[35:], uint64(expires.UnixMilli()))
	return append(dst, r[:]...)
}

// ParseRecord reads what AppendRecord wrote. A tombstone yields [ErrNone].
func ParseRecord(r []byte) (*Session, error) {
	if len(r) < recordFixed || len(r) > MaxRecord || r[0] != recordVersion || r[1]&^flagsKnown != 0 {
		return nil, ErrRecord
	}
	if r[1]&flagEnded != 0 {
		return nil, ErrNone
	}
	instant := func(at int) time.Time {
		return time.UnixMilli(int64(binary.BigEndian.Uint64(r[at:]))).UTC()
	}
	s := &Session{
		Account:         authn.GUID(r[3:19]),
		Domain:          string(r[recordFixed:]),
		Method:          authn.Method(r[2]),
		AuthenticatedAt: instant(19),
		StartedAt:       instant(27),
		Expires:         instant(35),
		PwdLastSet:      int64(binary.BigEndian.Uint64(r[43:])),
		Persistent:      r[1]&flagPersistent != 0,
	}
	if s.Account.IsZero() || s.Domain == "" || (s.Method != authn.MethodPassword && s.Method != authn.MethodKerberos) {
		return nil, ErrRecord
	}
	return s, nil
}
