package signin

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/federation"
)

// MaxState is the largest wctx or RelayState that a sign-in carries.
const MaxState = 8 << 10

// restartFor is how long a transaction can be started again after it expired.
const restartFor = 24 * time.Hour

const (
	transactionVersion = 1
	transactionFixed   = 2 + 16 + 16 + 8 // version, flags, id, browser, time
	maxTransaction     = 24 << 10        // sealed and encoded
)

// transactionAAD names the place where a sealed transaction belongs.
var transactionAAD = []byte("form field t, version 1")

// Flags of a transaction.
const (
	flagState = 1 << iota
	flagForce
	flagPasswords
	flagOther  // a person asked for another account, not the party
	flagsKnown = 1<<iota - 1
)

// transaction is a sign-in request on its way through the browser.
type transaction struct {
	id      [16]byte // random; marks the transaction as used
	browser [16]byte // hash of the browser-binding cookie
	issued  time.Time
	other   bool
	req     federation.SignInRequest
}

var errTransaction = errors.New("signin: not a sign-in transaction")

// newTransaction begins a transaction for a request.
func newTransaction(req *federation.SignInRequest, browser [16]byte, now time.Time) *transaction {
	t := &transaction{browser: browser, issued: now, req: *req}
	_, _ = rand.Read(t.id[:]) // never fails
	return t
}

// key names the transaction in the store of used ones.
func (t *transaction) key() string { return hex.EncodeToString(t.id[:]) }

// encode appends the plaintext. Strings are bytes as they are: wctx goes back
// byte for byte. Query is left out, it can be as long as the state once more.
func (t *transaction) encode(dst []byte) []byte {
	flags := bit(t.req.HasState, flagState) | bit(t.req.ForceLogin, flagForce) | bit(t.req.Passwords, flagPasswords) | bit(t.other, flagOther)
	dst = append(dst, transactionVersion, flags)
	dst = append(dst, t.id[:]...)
	dst = append(dst, t.browser[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.issued.Unix()))
	dst = binary.AppendUvarint(dst, uint64(t.req.MaxAge/time.Second))
	for _, s := range t.strings() {
		dst = binary.AppendUvarint(dst, uint64(len(*s)))
		dst = append(dst, *s...)
	}
	return dst
}

func bit(set bool, flag byte) byte {
	if set {
		return flag
	}
	return 0
}

// strings are the variable fields in their order on the wire, but for the party.
func (t *transaction) strings() []*string {
	r := &t.req
	return []*string{&r.Protocol, &r.Realm, &r.ReplyTo, &r.State, &r.LoginHint, &r.CorrelationID, &r.Extra}
}

// parseTransaction reads what encode wrote, and nothing else.
func parseTransaction(b []byte) (*transaction, error) {
	if len(b) < transactionFixed || b[0] != transactionVersion || b[1]&^flagsKnown != 0 {
		return nil, errTransaction
	}
	t := &transaction{id: [16]byte(b[2:18]), browser: [16]byte(b[18:34])}
	t.issued = time.Unix(int64(binary.BigEndian.Uint64(b[34:42])), 0)
	t.req.HasState, t.req.ForceLogin = b[1]&flagState != 0, b[1]&flagForce != 0
	t.req.Passwords, t.other = b[1]&flagPasswords != 0, b[1]&flagOther != 0
	rest := b[transactionFixed:]
	age, n := binary.Uvarint(rest)
	if n <= 0 || age > uint64(100*365*24*time.Hour/time.Second) {
		return nil, errTransaction
	}
	t.req.MaxAge = time.Duration(age) * time.Second
	rest = rest[n:]
	for _, s := range t.strings() {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return nil, errTransaction
		}
		*s, rest = string(rest[n:n+int(size)]), rest[n+int(size):]
	}
	if len(rest) != 0 {
		return nil, errTransaction
	}
	return t, nil
}

// seal returns the value of field t.
func (f *Flow) seal(t *transaction) (string, error) {
	party := t.req.Party.Key
	plain := binary.AppendUvarint(nil, uint64(len(party)))
	plain = t.encode(append(plain, party...))
	token := base64.RawURLEncoding.EncodeToString(f.cfg.Seal.Seal(nil, plain, transactionAAD))
	if len(token) > maxTransaction {
		return "", federation.Refuse(federation.ProblemBadRequest, t.req.Party,
			fmt.Errorf("signin: request needs a transaction of %d bytes, at most %d are carried", len(token), maxTransaction))
	}
	return token, nil
}

// open reads field t. The party and its reply address are looked up in the
// registry again: it may have changed since.
func (f *Flow) open(token string) (*transaction, error) {
	// What does not open names no party; people most likely want the usual one.
	stale := func(err error) error {
		return federation.Refuse(federation.ProblemStale, f.cfg.Parties(f.cfg.Home), err)
	}
	if len(token) > maxTransaction || strings.ContainsAny(token, "\r\n") { // the decoder would skip them
		return nil, stale(errTransaction)
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return nil, stale(fmt.Errorf("signin: field t: %w", err))
	}
	plain, err := f.cfg.Seal.Open(nil, sealed, transactionAAD)
	if err != nil {
		return nil, stale(fmt.Errorf("signin: field t: %w", err))
	}
	size, n := binary.Uvarint(plain)
	if n <= 0 || size > uint64(len(plain)-n) {
		return nil, stale(errTransaction)
	}
	t, err := parseTransaction(plain[n+int(size):])
	if err != nil {
		return nil, stale(err)
	}
	rp := f.cfg.Parties(string(plain[n : n+int(size)]))
	if rp == nil || !slices.Contains(rp.ReplyURLs, t.req.ReplyTo) || f.cfg.Responders[t.req.Protocol] == nil {
		return nil, federation.Refuse(federation.ProblemUnknownParty, nil,
			fmt.Errorf("signin: party %q or its reply address is not registered any more", plain[n:n+int(size)]))
	}
	t.req.Party = rp
	return t, nil
}
