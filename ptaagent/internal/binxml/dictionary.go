package binxml

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// staticText is the table of [MC-NBFS] §2.2, a string a line; line n has id 2n.
//
//go:embed dictionary.txt
var staticText string

// static returns the strings of the static dictionary and the index of each.
var static = sync.OnceValues(func() ([]string, map[string]uint32) {
	list := strings.Split(strings.TrimSuffix(staticText, "\n"), "\n")
	index := make(map[string]uint32, len(list))
	for i, s := range list {
		index[s] = uint32(2 * i)
	}
	return list, index
})

// The bounds of a session's table; .NET's own default is 2048 bytes in all.
const (
	maxTableStrings = 1024
	maxTableBytes   = 64 << 10
)

// ErrTable says that a session's string table is malformed or too large.
var ErrTable = errors.New("binxml: session string table")

// Table is the string table of one direction of one session ([MC-NBFSE] §2.1): each
// message adds to it, and numbering goes on. The zero value is empty. It is owned
// by one goroutine.
type Table struct {
	list  []string
	index map[string]uint32
	bytes int
	fresh []string // added since the last message was written
}

// Read takes the new strings off the front of a message's payload and returns the
// document behind them.
func (t *Table) Read(payload []byte) (document []byte, err error) {
	size, rest, err := int31(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTable, err)
	}
	if size > len(rest) {
		return nil, fmt.Errorf("%w of %d bytes in a message of %d", ErrTable, size, len(payload))
	}
	table, document := rest[:size], rest[size:]
	for len(table) > 0 {
		n, rest, err := int31(table)
		if err != nil || n > len(rest) {
			return nil, fmt.Errorf("%w: string of %d bytes, %d left", ErrTable, n, len(rest))
		}
		if t.bytes+n > maxTableBytes || len(t.list) >= maxTableStrings {
			return nil, fmt.Errorf("%w has more than %d strings or %d bytes", ErrTable, maxTableStrings, maxTableBytes)
		}
		s := string(rest[:n])
		if err := checkText(rest[:n]); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTable, err)
		}
		t.list, t.bytes, table = append(t.list, s), t.bytes+n, rest[n:]
	}
	return document, nil
}

// id returns the id of s, which is added when it is new.
func (t *Table) id(s string) uint32 {
	if id, ok := t.index[s]; ok {
		return id
	}
	if t.index == nil {
		t.index = make(map[string]uint32)
	}
	id := uint32(2*len(t.list) + 1)
	t.list, t.index[s], t.fresh = append(t.list, s), id, append(t.fresh, s)
	return id
}

// AppendFresh appends the table part of a message: the strings that its document
// used for the first time.
func (t *Table) AppendFresh(dst []byte) []byte {
	size := 0
	for _, s := range t.fresh {
		size += int31Size(len(s)) + len(s)
	}
	dst = appendInt31(dst, size)
	for _, s := range t.fresh {
		dst = append(appendInt31(dst, len(s)), s...)
	}
	t.fresh = t.fresh[:0]
	return dst
}

// lookup returns the string of an id: even ids are static, odd ones the session's.
func (t *Table) lookup(id int) (string, error) {
	if id&1 == 0 {
		list, _ := static()
		if id/2 < len(list) {
			return list[id/2], nil
		}
	} else if t != nil && id/2 < len(t.list) {
		return t.list[id/2], nil
	}
	return "", fmt.Errorf("%w: dictionary id %#x is not defined", ErrSyntax, id)
}

// int31 reads a multi-byte integer of at most 31 bits ([MC-NBFX] §2.1.2).
func int31(b []byte) (n int, rest []byte, err error) {
	for i := range 5 {
		if i >= len(b) {
			return 0, nil, fmt.Errorf("%w: the message ends inside a length", ErrSyntax)
		}
		c := b[i]
		if i == 4 && c > 0x07 {
			break
		}
		n |= int(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return n, b[i+1:], nil
		}
	}
	return 0, nil, fmt.Errorf("%w: length of more than 31 bits", ErrSyntax)
}

func appendInt31(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

func int31Size(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}
