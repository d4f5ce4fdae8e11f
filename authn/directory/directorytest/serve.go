package directorytest

import (
	"bufio"
	"bytes"
	"time"
)

// serve carries out one request, with the fault that strikes it, and reports
// whether the connection goes on.
func (c *conn) serve(req request) bool {
	c.enc.b = c.enc.b[:0]
	switch req.op {
	case opBindRequest:
		return c.serveBind(req)
	case opSearchRequest:
		return c.serveSearch(req)
	case opExtendedRequest:
		return c.serveExtended(req)
	case opModifyRequest:
		return c.serveModify(req)
	case opAddRequest, opDelRequest, opModifyDNRequest, opCompareRequest:
		c.enc.message(req.id, req.op&0x1f|0x60+1, codeUnwilling, c.dc.d.text("00002035: LdapErr: DSID-0C090D8E, comment: not served here, data 0, v4f7c"))
		return c.deliver(nil, req.id)
	default:
		c.violate("operation %#02x", req.op)
		return false
	}
}

// replyID is the messageID that the answer carries.
func (c *conn) replyID(f *Fault, id int64) int64 {
	if f == nil {
		return id
	}
	switch f.Effect {
	case WrongID:
		return id + 1
	case ZeroID:
		return 0
	case RepeatedID:
		return c.lastID
	default:
		return id
	}
}

// instead carries out the faults that take the place of judging a request.
func (c *conn) instead(f *Fault, req request, tag byte) (done, goOn bool) {
	if f == nil {
		return false, true
	}
	if f.Do != nil {
		f.Do()
	}
	switch f.Effect {
	case Disconnected:
		c.end(f.End)
		return true, f.End == EndSilent
	case Result:
		c.enc.message(req.id, tag, f.Code, f.Diagnostic)
		return true, c.deliver(f, req.id)
	case Referral:
		c.enc.referral(req.id, tag, "0000202B: RefErr: DSID-0310082F, data 0, 1 access points", "ldap://"+f.Diagnostic+"/")
		return true, c.deliver(f, req.id)
	case Raw:
		c.enc.b = append(c.enc.b, f.Reply(req.id)...)
		return true, c.deliver(f, req.id)
	default:
		return false, true
	}
}

// deliver sends the answer in c.enc, as the fault wants it.
func (c *conn) deliver(f *Fault, id int64) bool {
	c.lastID = id
	if f == nil {
		if l := c.dc.settings().Latency; l > 0 {
			f = &Fault{Delay: l}
		} else {
			c.pending.Add(-1)
			return c.write(c.enc.b) == nil
		}
	}
	if f.Delay > 0 || f.Gate != nil {
		answer := bytes.Clone(c.enc.b)
		c.dc.wait.Go(func() {
			if c.hold(f) && !c.send(f, answer) {
				_ = c.raw.Close()
			}
		})
		return true
	}
	return c.send(f, c.enc.b)
}

func (c *conn) send(f *Fault, answer []byte) bool {
	switch f.Effect {
	case Stall:
		return true
	case Unanswered:
		c.end(f.End)
		return f.End == EndSilent
	case Half:
		_ = c.write(answer[:len(answer)/2])
		c.end(f.End)
		return f.End == EndSilent
	case Twice:
		answer = append(bytes.Clone(answer), answer...)
	}
	c.pending.Add(-1)
	if c.write(answer) != nil {
		return false
	}
	if f.Effect == AnsweredThenEnd {
		c.end(f.End)
		return f.End == EndSilent
	}
	return true
}

func (c *conn) serveBind(req request) bool {
	b, err := parseBind(req.body)
	if err != nil {
		return c.malformed(err)
	}
	d := c.dc.d
	f := c.dc.strike(OnBind, b.name)
	record := Bind{
		DC: c.dc.Name, Conn: c.number, Name: b.name, Code: -1, Fast: c.fast, Faulty: f != nil, At: d.cfg.Now(),
		Anonymous: b.name == "" || len(b.password) == 0,
	}
	if f.unjudged() { // the record stands before the client can know the answer
		d.rec.bind(record)
	}
	if done, goOn := c.instead(f, req, opBindResponse); done {
		return goOn
	}
	code, diagnostic := c.judge(b, &record)
	record.Judged, record.Code = true, code
	d.rec.bind(record)
	if f != nil {
		switch f.Effect {
		case Diagnosed:
			diagnostic = f.Diagnostic
		case HugeDiagnostic:
			diagnostic = string(bytes.Repeat([]byte{'x'}, sizeOr(f.Size, 1<<20)))
		}
	}
	c.enc.message(c.replyID(f, req.id), opBindResponse, code, diagnostic)
	return c.deliver(f, req.id)
}

func sizeOr(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// judge gives the verdict on a bind and moves the connection's identity.
func (c *conn) judge(b bindRequest, record *Bind) (code int64, diagnostic string) {
	d := c.dc.d
	switch {
	case b.version != 3:
		return codeProtocolError, d.text("00000057: LdapErr: DSID-0C090CB4, comment: Error decoding ldap message, data 0, v4f7c")
	case b.sasl && c.fast:
		return codeUnwilling, d.text("00002035: LdapErr: DSID-0C090458, comment: only simple binds on a fast bind connection, data 0, v4f7c")
	case b.sasl:
		return codeAuthMethod, d.text("00002027: LdapErr: DSID-0C0904C8, comment: Invalid Authentication method, data 0, v4f7c")
	case c.plain && b.name != "" && d.cfg.Samba:
		return codeStrongAuthRequired, "BindSimple: Transport encryption required."
	case c.plain && b.name != "":
		return codeStrongAuthRequired, d.text("00002028: LdapErr: DSID-0C090256, comment: The server requires binds to turn on " +
			"integrity checking if SSL\\TLS are not already active on the connection, data 0, v4f7c")
	case b.name == "" || len(b.password) == 0 && !d.cfg.Samba:
		// RFC 4513 5.1.2: an unauthenticated bind. A Windows DC says success whatever
		// the name is, and the connection is anonymous.
		c.identity = nil
		return codeSuccess, ""
	}
	d.mu.Lock()
	o, data := d.verdict(c.dc, b.name, b.password)
	d.mu.Unlock()
	if o != nil {
		record.DN = o.dn
	}
	if data != 0 {
		record.Data = data
		if !d.cfg.Samba && !c.dc.settings().KeepIdentity {
			c.identity = nil
		}
		return codeInvalidCredentials, d.diagnostic(data)
	}
	if !c.fast {
		c.identity = o
	}
	return codeSuccess, ""
}

func (c *conn) serveExtended(req request) bool {
	oid, value, err := parseExtended(req.body)
	if err != nil {
		return c.malformed(err)
	}
	f := c.dc.strike(OnExtended, oid)
	if done, goOn := c.instead(f, req, opExtendedReply); done {
		return goOn
	}
	d, s, id := c.dc.d, c.dc.settings(), c.replyID(f, req.id)
	switch {
	case oid == oidStartTLS && c.plain && !s.RefuseStartTLS && value == nil:
		if c.br.Buffered() > 0 {
			c.violate("bytes behind the StartTLS request")
			return false
		}
		c.enc.extended(id, codeSuccess, "", oidStartTLS, nil)
		return c.deliver(f, req.id) && c.upgrade()
	case oid == oidStartTLS:
		c.enc.extended(id, 52, d.text("00000000: LdapErr: DSID-0C0910B1, comment: Error initializing SSL/TLS, data 0, v4f7c"), oidStartTLS, nil)
	case oid == oidWhoAmI && !d.cfg.Samba:
		name := []byte{}
		if c.identity != nil {
			name = []byte("u:" + d.NetBIOS + `\` + c.identity.user.SAM)
		}
		c.enc.extended(id, codeSuccess, "", "", name)
	case oid == oidFastBind && s.FastBind && c.identity != nil:
		c.enc.extended(id, codeUnwilling, d.text("00002077: SvcErr: DSID-031A120C, problem 5003 (WILL_NOT_PERFORM), data 0"), oidFastBind, nil)
	case oid == oidFastBind && s.FastBind:
		c.fast = true
		c.enc.extended(id, codeSuccess, "", oidFastBind, nil)
	default:
		c.enc.extended(id, codeProtocolError, d.text("0000203D: LdapErr: DSID-0C09107D, comment: Unknown extended request OID, data 0, v4f7c"), "", nil)
	}
	return c.deliver(f, req.id)
}

// upgrade moves the connection into TLS after the answer to StartTLS.
func (c *conn) upgrade() bool {
	if !c.handshake() {
		return false
	}
	_ = c.nc.SetDeadline(time.Time{})
	c.br = bufio.NewReaderSize(c.nc, 4096)
	c.identity, c.fast = nil, false
	return true
}
