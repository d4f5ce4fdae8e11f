package directorytest

import "encoding/binary"

// flood answers a search with more than any client should take: one attribute of
// 100 MB, or entries without end.
func (c *conn) flood(f *Fault, id int64) bool {
	if f.Effect == Endless {
		c.enc.entry(id, "CN=again,"+c.dc.d.BaseDN, []attribute{{"name", text("again")}}, false)
		one := c.enc.b
		var block []byte
		for len(block) < 1<<14 {
			block = append(block, one...)
		}
		for !c.ended.Load() {
			if c.write(block) != nil {
				return false
			}
		}
		return false
	}
	size := sizeOr(f.Size, 100<<20)
	tail := size // bytes of content from the value to the end
	wrap := func(tag byte, inner []byte) []byte {
		n := len(inner) + tail
		return append(binary.BigEndian.AppendUint32([]byte{tag, 0x84}, uint32(n)), inner...)
	}
	name := encoder{}
	name.str(tagOctets, "description")
	b := wrap(tagOctets, nil)
	b = wrap(tagSet, b)
	b = wrap(tagSequence, append(name.b, b...))
	b = wrap(tagSequence, b)
	dn := encoder{}
	dn.str(tagOctets, "CN=huge,"+c.dc.d.BaseDN)
	b = wrap(opSearchEntry, append(dn.b, b...))
	number := encoder{}
	number.integer(tagInteger, id)
	b = wrap(tagSequence, append(number.b, b...))
	if c.write(b) != nil {
		return false
	}
	block := make([]byte, 1<<14)
	for sent := 0; sent < size && !c.ended.Load(); sent += len(block) {
		if c.write(block[:min(len(block), size-sent)]) != nil {
			return false
		}
	}
	c.enc.b = c.enc.b[:0]
	c.enc.searchDone(id, codeSuccess, "", "", nil)
	return c.deliver(nil, id)
}
