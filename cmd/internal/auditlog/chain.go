package auditlog

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxLine bounds one record; longer ones are cut before they are written.
const maxLine = 64 << 10

// head is the end of a chain: the number and the hash of the last record.
type head struct {
	seq  uint64
	hash [sha256.Size]byte // zero before the first record
}

// chain computes hashes: SHA-256, or HMAC-SHA-256 with a key.
type chain struct{ mac hash.Hash }

func newChain(key []byte) chain {
	if len(key) == 0 {
		return chain{sha256.New()}
	}
	return chain{hmac.New(sha256.New, key)}
}

func (c chain) sum(line []byte) (sum [sha256.Size]byte) {
	c.mac.Reset()
	c.mac.Write(line)
	c.mac.Sum(sum[:0])
	return sum
}

// append adds the event as the chain's next record, with a line feed.
func (c chain) append(buf []byte, h *head, event []byte) []byte {
	start := len(buf)
	buf = append(buf, `{"seq":`...)
	buf = strconv.AppendUint(buf, h.seq+1, 10)
	buf = append(buf, `,"prev":"`...)
	buf = hex.AppendEncode(buf, h.hash[:])
	buf = append(buf, `",`...)
	buf = append(buf, event[1:]...)
	h.seq++
	h.hash = c.sum(buf[start:])
	return append(buf, '\n')
}

// link is what the chain needs of a record.
type link struct {
	Seq  uint64 `json:"seq"`
	Prev string `json:"prev"`
}

// parseLink reads a record's link; ok is false for what is no record.
func parseLink(line []byte) (l link, prev [sha256.Size]byte, ok bool) {
	if json.Unmarshal(line, &l) != nil || l.Seq == 0 || len(l.Prev) != 2*sha256.Size {
		return l, prev, false
	}
	_, err := hex.Decode(prev[:], []byte(l.Prev))
	return l, prev, err == nil
}

// Summary is what [Verify] found.
type Summary struct {
	// Records is the number of good records.
	Records int
	// First and Last are the sequence numbers at both ends.
	First, Last uint64
	// Head is the hash of the last record in hex: compare it with the log's
	// "audit chain" line to see whether the end is missing.
	Head string
}

// ErrChain says that the trail was changed, or that part of it is missing.
var ErrChain = errors.New("the audit chain is broken")

// Verify reads files of one trail, oldest first, and checks the chain over all of
// them. The key is the one the trail was written with, nil for none. The first
// file may begin inside the chain, since old files are archived.
func Verify(files []string, key []byte) (Summary, error) {
	v := verifier{chain: newChain(key)}
	for _, name := range files {
		if err := v.file(name); err != nil {
			return v.summary(), err
		}
	}
	if v.sum.Records == 0 {
		return v.summary(), fmt.Errorf("%w: there is no record", ErrChain)
	}
	return v.summary(), nil
}

type verifier struct {
	chain chain
	head  head
	sum   Summary
}

func (v *verifier) summary() Summary {
	v.sum.Last = v.head.seq
	v.sum.Head = hex.EncodeToString(v.head.hash[:])
	return v.sum
}

func (v *verifier) file(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return v.read(f, name)
}

func (v *verifier) read(r io.Reader, name string) error {
	in := bufio.NewReaderSize(r, maxLine+1024)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: %s:%d ends in the middle of a record", ErrChain, name, n)
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("%w: %s:%d is longer than any record", ErrChain, name, n)
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := v.line(line[:len(line)-1]); err != nil {
			return fmt.Errorf("%w: %s:%d %w", ErrChain, name, n, err)
		}
	}
}

func (v *verifier) line(line []byte) error {
	l, prev, ok := parseLink(line)
	switch {
	case !ok:
		return errors.New("is not a record")
	case v.sum.Records == 0:
		v.sum.First = l.Seq
		if l.Seq == 1 && strings.Trim(l.Prev, "0") != "" {
			return errors.New("is the first record of a trail and names one before it")
		}
	case l.Seq != v.head.seq+1:
		return fmt.Errorf("has number %d after %d", l.Seq, v.head.seq)
	case prev != v.head.hash:
		return fmt.Errorf("(number %d) does not follow the record before it, which was changed", l.Seq)
	}
	v.head = head{l.Seq, v.chain.sum(line)}
	v.sum.Records++
	return nil
}
