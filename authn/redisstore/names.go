package redisstore

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"sallyport/authn/seal"
	"sallyport/authn/session"
)

const nameLabel = "sallyport session name v1"

// names makes key names and the values below them.
type names struct {
	prefix  string
	records *seal.Box
	parties *seal.Box
	links   *seal.Box
	once    [][]byte // HMAC keys, the first for new names
}

func newNames(prefix string, masters [][]byte) (*names, error) {
	n := &names{prefix: prefix}
	var err error
	if n.records, err = seal.New(seal.PurposeSession, masters...); err != nil {
		return nil, err
	}
	if n.parties, err = seal.New(seal.PurposeParties, masters...); err != nil {
		return nil, err
	}
	if n.links, err = seal.New(seal.PurposeLinks, masters...); err != nil {
		return nil, err
	}
	for _, m := range masters {
		key, err := seal.Key(seal.PurposeOnce, m)
		if err != nil {
			return nil, err
		}
		n.once = append(n.once, key)
	}
	return n, nil
}

// session returns the two keys of a session. The name is a keyed hash with the
// secret as key: from the name nobody gets back to the secret, and it does not
// change when the master secret is replaced.
func (n *names) session(id session.ID) (record, parties string) {
	mac := hmac.New(sha256.New, id[:])
	mac.Write([]byte(nameLabel))
	var sum [sha256.Size]byte
	name := "{" + base64.RawURLEncoding.EncodeToString(mac.Sum(sum[:0])[:16]) + "}"
	return n.prefix + "s:" + name, n.prefix + "p:" + name
}

// onceNames returns the name of a used-once key under each master.
func (n *names) onceNames(purpose, key string) []string { return n.hashed("o:", purpose, key) }

// noteNames returns the name of a note under each master.
func (n *names) noteNames(purpose, name string) []string {
	return n.hashed("n:", "note "+purpose, name)
}

func (n *names) hashed(kind, purpose, key string) []string {
	all := make([]string, len(n.once))
	for i, k := range n.once {
		mac := hmac.New(sha256.New, k)
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(purpose)))
		mac.Write(size[:])
		mac.Write([]byte(purpose))
		mac.Write([]byte(key))
		all[i] = n.prefix + kind + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:20])
	}
	return all
}

// partyBlock is what the length of a party's name is rounded up to, so that it
// tells little about which one it is.
const partyBlock = 32

// mark keeps the list of a live session from being empty, that is, from not being.
const mark = "."

// sealParty returns the value that stands for a party in the list under this key.
// It is the same each time, so that LREM finds it.
func (n *names) sealParty(key, party string) []byte {
	if len(party) > 0xffff {
		party = party[:0xffff] // registered names are far shorter
	}
	plain := make([]byte, (2+len(party)+partyBlock-1)/partyBlock*partyBlock)
	binary.BigEndian.PutUint16(plain, uint16(len(party)))
	copy(plain[2:], party)
	return n.parties.SealSame(nil, plain, []byte(key))
}

// openParty returns the party's name, or false for the mark and for values that
// were not sealed for this list.
func (n *names) openParty(key, sealed string) (string, bool) {
	plain, err := n.parties.OpenSame(nil, []byte(sealed), []byte(key))
	if err != nil || len(plain) < 2 {
		return "", false
	}
	size := int(binary.BigEndian.Uint16(plain))
	if size == 0 || 2+size > len(plain) {
		return "", false
	}
	return string(plain[2 : 2+size]), true
}
