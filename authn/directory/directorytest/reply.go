package directorytest

// result appends an LDAPResult under the tag of its operation.
func (e *encoder) result(tag byte, code int64, matched, diagnostic string) {
	m := e.open(tag)
	e.integer(tagEnumerated, code)
	e.str(tagOctets, matched)
	e.str(tagOctets, diagnostic)
	e.close(m)
}

// message appends a whole LDAPMessage with one LDAPResult.
func (e *encoder) message(id int64, tag byte, code int64, diagnostic string) {
	m := e.open(tagSequence)
	e.integer(tagInteger, id)
	e.result(tag, code, "", diagnostic)
	e.close(m)
}

// extended appends an ExtendedResponse with a name and a value, each unless empty.
func (e *encoder) extended(id, code int64, diagnostic, oid string, value []byte) {
	m := e.open(tagSequence)
	e.integer(tagInteger, id)
	o := e.open(opExtendedReply)
	e.integer(tagEnumerated, code)
	e.str(tagOctets, "")
	e.str(tagOctets, diagnostic)
	if oid != "" {
		e.str(0x8a, oid)
	}
	if value != nil {
		e.bytes(0x8b, value)
	}
	e.close(o)
	e.close(m)
}

func (e *encoder) notice(code int64) { e.extended(0, code, "", oidNotice, nil) }

// entry appends a SearchResultEntry.
func (e *encoder) entry(id int64, dn string, attrs []attribute, typesOnly bool) {
	m := e.open(tagSequence)
	e.integer(tagInteger, id)
	o := e.open(opSearchEntry)
	e.str(tagOctets, dn)
	list := e.open(tagSequence)
	for _, a := range attrs {
		item := e.open(tagSequence)
		e.str(tagOctets, a.name)
		set := e.open(tagSet)
		if !typesOnly {
			for _, v := range a.values {
				e.bytes(tagOctets, v)
			}
		}
		e.close(set)
		e.close(item)
	}
	e.close(list)
	e.close(o)
	e.close(m)
}

// reference appends a SearchResultReference.
func (e *encoder) reference(id int64, url string) {
	m := e.open(tagSequence)
	e.integer(tagInteger, id)
	o := e.open(opSearchReference)
	e.str(tagOctets, url)
	e.close(o)
	e.close(m)
}

// referral appends a result with code 10 and where to go instead.
func (e *encoder) referral(id int64, tag byte, diagnostic, url string) {
	m := e.open(tagSequence)
	e.integer(tagInteger, id)
	o := e.open(tag)
	e.integer(tagEnumerated, codeReferral)
	e.str(tagOctets, "")
	e.str(tagOctets, diagnostic)
	list := e.open(0xa3)
	e.str(tagOctets, url)
	e.close(list)
	e.close(o)
	e.close(m)
}

// searchDone appends a SearchResultDone, with the paging control when a cookie is
// given.
func (e *encoder) searchDone(id, code int64, matched, diagnostic string, cookie []byte) {
	m := e.open(tagSequence)
	e.integer(tagInteger, id)
	e.result(opSearchDone, code, matched, diagnostic)
	if cookie != nil {
		v := encoder{long: e.long}
		s := v.open(tagSequence)
		v.integer(tagInteger, 0)
		v.bytes(tagOctets, cookie)
		v.close(s)
		list := e.open(tagControls)
		item := e.open(tagSequence)
		e.str(tagOctets, oidPaging)
		e.bytes(tagOctets, v.b)
		e.close(item)
		e.close(list)
	}
	e.close(m)
}
