package saml

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation"
	"sallyport/federation/internal/xmlsec"
	"sallyport/federation/token"
	"sallyport/federation/web"
)

// A sign-out visits the SAML parties of a session one after the other: the browser
// carries a LogoutRequest to each and brings its LogoutResponse back (SAML Profiles
// 2.0 §4.4.3.3). As the browser really goes there, the party sees its own cookies,
// which hidden frames would withhold. The session itself has ended before the first
// step, so that a chain that is abandoned leaves nothing signed in here.

// chainCookie holds the state of a chain, sealed. Each browser has one at a time.
const chainCookie = "__Host-sallyport-logout"

const (
	chainTime = 10 * time.Minute
	// maxCookie is what browsers keep of one cookie, name and attributes included.
	maxCookie = 3800
)

// Sealer seals what leaves the process; package seal implements it.
type Sealer interface {
	Seal(dst, plaintext, aad []byte) []byte
	Open(dst, sealed, aad []byte) ([]byte, error)
}

// chain is a sign-out on its way.
type chain struct {
	Ends time.Time `json:"e"`
	// Origin is the party that asked, with its request; its zero value is a sign-out
	// that began at another protocol or at our own page.
	Origin origin `json:"o,omitzero"`
	// ReplyTo and Party are where a sign-out of another protocol goes on.
	ReplyTo string `json:"r,omitempty"`
	Party   string `json:"p,omitempty"`
	// SessionIndex is what all parties know the session by.
	SessionIndex string `json:"i"`
	// Next are the parties still to be visited; the first one is being visited under
	// the request id Asked.
	Next  []visit `json:"n"`
	Asked string  `json:"a,omitempty"`
	// Ended and Unknown are the keys of the parties that confirmed, and of those that
	// did not or cannot be told.
	Ended   []string `json:"d,omitempty"`
	Unknown []string `json:"u,omitempty"`
	// Others are the parties of other protocols, as PROTOCOL:KEY.
	Others []string `json:"w,omitempty"`
}

type origin struct {
	Key      string `json:"k"`
	ID       string `json:"i"`
	Issuer   string `json:"u,omitempty"` // of the answer; empty: the service's own
	State    string `json:"s,omitempty"`
	HasState bool   `json:"h,omitempty"`
}

// visit is a party with the identifier that it knows the person by.
type visit struct {
	Key    string `json:"k"`
	NameID string `json:"n"`
	Format string `json:"f"`
	Issuer string `json:"i"`
}

// Propagate tells the parties of a session that has ended, sub's, and goes on to the
// page that says who confirmed it. It is for sign-outs that other protocols and our
// own pages begin. Parties are those of [signin.Flow.End].
func (h *Handler) Propagate(w http.ResponseWriter, r *http.Request, out *federation.SignOut, parties []string, sub *federation.Subject) error {
	c := h.chain(r.Context(), parties, sub, "")
	c.ReplyTo = out.ReplyTo
	if out.Party != nil {
		c.Party = out.Party.Key
	}
	return h.forward(w, r, c)
}

// chain plans the visits to all parties but the one that asked.
func (h *Handler) chain(ctx context.Context, parties []string, sub *federation.Subject, asked string) *chain {
	c := &chain{Ends: h.cfg.Now().Add(chainTime)}
	if sub != nil {
		c.SessionIndex = sub.SessionIndex
	}
	rs := h.cfg.Responder
	seen := make(map[string]bool)
	for _, name := range parties { // latest first, and a party holds the name that it got last
		name, format, _ := strings.Cut(name, " ")
		key, ours := strings.CutPrefix(name, "saml:")
		p := rs.Parties().ByKey(key)
		if seen[name] {
			continue
		}
		seen[name] = true
		switch {
		case !ours:
			c.Others = append(c.Others, name)
		case key == asked || p == nil:
		case p.Microsoft365: // its pages take WS-Federation's clean-up, whatever brought the person in
			if told := "wsfed:" + key; !slices.Contains(parties, told) {
				c.Others = append(c.Others, told)
			}
		case p.Logout == nil || sub == nil:
			c.Unknown = append(c.Unknown, key)
		default:
			a, err := rs.identified(ctx, p, p.entity(), cmp.Or(format, p.NameIDFormat), sub)
			if err != nil {
				c.Unknown = append(c.Unknown, key)
				continue
			}
			c.Next = append(c.Next, visit{Key: key, NameID: a.NameID, Format: a.NameIDFormat, Issuer: a.Issuer})
		}
	}
	return c
}

// forward makes the next visit, or ends the chain.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, c *chain) error {
	rs := h.cfg.Responder
	h.back(r.Context(), c)
	for len(c.Next) > 0 {
		v := c.Next[0]
		p := rs.Parties().ByKey(v.Key)
		c.Asked = token.NewID()
		kept := p != nil && p.Logout != nil && h.keep(w, c)
		if kept {
			err := h.visit(w, r, p, &v, c)
			if err == nil {
				return nil
			}
			h.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "a party was not told of a sign-out",
				slog.String("party", v.Key), slog.String("error", err.Error()), slog.String("ref", web.From(r.Context()).Reference))
		}
		c.Unknown, c.Next, c.Asked = append(c.Unknown, v.Key), c.Next[1:], ""
	}
	h.forget(w)
	return h.finish(w, r, c)
}

// visit sends the browser to a party with a LogoutRequest.
func (h *Handler) visit(w http.ResponseWriter, r *http.Request, p *Party, v *visit, c *chain) error {
	rs := h.cfg.Responder
	signer := rs.Signer()
	post := p.Logout.Binding == BindingPost
	var by *token.Signer
	if post {
		by = signer
	}
	doc, err := appendLogoutRequest(p, v, c, h.cfg.Now(), by)
	if err != nil {
		return err
	}
	if post {
		return h.cfg.Flow.Hand(w, r, &p.RelyingParty, &federation.Answer{Action: p.Logout.URL,
			Fields: []federation.Field{{Name: "SAMLRequest", Value: base64.StdEncoding.EncodeToString(doc)}}})
	}
	to, err := signedURL(signer, p.Logout.URL, "SAMLRequest", doc, "", false)
	if err != nil {
		return err
	}
	redirect(w, r, to)
	return nil
}

// redirect sends the browser on with what must not be kept (SAML Bindings 2.0
// §3.4.5.1).
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Cache-Control", "no-cache, no-store")
	w.Header().Set("Pragma", "no-cache")
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// answered takes a LogoutResponse and goes on with the chain that waits for it.
func (h *Handler) answered(w http.ResponseWriter, r *http.Request, e *envelope) error {
	c := h.kept(r)
	if c == nil {
		if h.foreign(r, e, chainCookie) {
			return h.cfg.Flow.Hand(w, r, h.self(nil), h.again(e))
		}
		return h.refused(r, nil, federation.Refuse(federation.ProblemStale, nil, errors.New("saml: a LogoutResponse for no sign-out of this browser")))
	}
	head, p, root, err := h.sender(r.Context(), e, true)
	if err != nil {
		return h.refused(r, p, err)
	}
	if to, _ := xmlsec.Attr(root, "InResponseTo"); len(c.Next) == 0 || c.Next[0].Key != p.Key || to != c.Asked {
		return h.refused(r, p, bad(p, "LogoutResponse %s answers no request of this sign-out", head.id))
	}
	key := c.Next[0].Key
	if topStatus(root) == success {
		c.Ended = append(c.Ended, key)
	} else {
		c.Unknown = append(c.Unknown, key)
		_ = h.audited(r, p, "logout_refused", errors.New("saml: the party did not confirm a sign-out")) // changes nothing here
	}
	c.Next, c.Asked = c.Next[1:], ""
	return h.forward(w, r, c)
}

// Resume goes on with a sign-out whose present party never sent the browser back: it
// counts as unconfirmed, and the next one is visited. It reports false, with nothing
// written, when the browser is in no sign-out.
func (h *Handler) Resume(w http.ResponseWriter, r *http.Request) (bool, error) {
	c := h.kept(r)
	if c == nil || len(c.Next) == 0 {
		return false, nil
	}
	key := c.Next[0].Key
	_ = h.audited(r, h.cfg.Responder.Parties().ByKey(key), "logout_unanswered", errors.New("saml: the party did not send the browser back from a sign-out")) // changes nothing here
	c.Unknown, c.Next, c.Asked = append(c.Unknown, key), c.Next[1:], ""
	return true, h.forward(w, r, c)
}

// topStatus is the top-level status of a response, empty when it has none.
func topStatus(root *etree.Element) status {
	s, err := xmlsec.One(root, nsProtocol, "Status")
	if err != nil {
		return ""
	}
	code, err := xmlsec.One(s, nsProtocol, "StatusCode")
	if err != nil {
		return ""
	}
	value, _ := xmlsec.Attr(code, "Value")
	if second, err := xmlsec.Optional(code, nsProtocol, "StatusCode"); err != nil || second != nil {
		if v, _ := xmlsec.Attr(second, "Value"); err != nil || status(v) == partialLogout {
			return "" // signed out there, but not behind it
		}
	}
	return status(value)
}

// finish answers whoever asked, by way of the page with frames for the parties of
// other protocols.
func (h *Handler) finish(w http.ResponseWriter, r *http.Request, c *chain) error {
	rs := h.cfg.Responder
	out := &federation.SignOut{Protocol: "saml", ReplyTo: c.ReplyTo, Ended: h.parties(c.Ended), Unknown: h.parties(c.Unknown)}
	if c.Party != "" {
		out.Party = h.cfg.Party(c.Party)
	}
	if c.Origin.Key == "" {
		return h.cfg.Flow.Farewell(w, r, out, c.Others)
	}
	p := rs.Parties().ByKey(c.Origin.Key)
	if p == nil || p.Logout == nil { // a reload came between
		out.ReplyTo = ""
		return h.cfg.Flow.Farewell(w, r, out, c.Others)
	}
	second := status("")
	if len(c.Unknown)+len(c.Others) > 0 {
		second = partialLogout
	}
	e := &envelope{state: c.Origin.State, hasState: c.Origin.HasState}
	out.Party = &p.RelyingParty
	switch {
	case len(c.Others) == 0:
		return h.answerLogout(w, r, p, c.Origin.ID, c.Origin.Issuer, e, success, second)
	case p.Logout.Binding == BindingPost:
		doc, err := rs.logoutResponse(p, c.Origin.ID, c.Origin.Issuer, success, second, true)
		if err != nil {
			return err
		}
		out.ReplyTo, out.Onward = "", postLogout(p, doc, e)
		return h.cfg.Flow.Farewell(w, r, out, c.Others)
	}
	to, err := rs.redirectLogoutResponse(p, c.Origin.ID, c.Origin.Issuer, success, second, e)
	if err != nil {
		return err
	}
	out.ReplyTo = to
	return h.cfg.Flow.Farewell(w, r, out, c.Others)
}

// parties are those with these keys that are still registered.
func (h *Handler) parties(keys []string) []*federation.RelyingParty {
	var list []*federation.RelyingParty
	for _, key := range keys {
		if p := h.cfg.Responder.Parties().ByKey(key); p != nil {
			list = append(list, &p.RelyingParty)
		}
	}
	return list
}

// keep writes the state into the browser's cookie, and reports false when it does
// not fit.
func (h *Handler) keep(w http.ResponseWriter, c *chain) bool {
	plain, err := json.Marshal(c)
	if err != nil {
		return false
	}
	value := base64.RawURLEncoding.EncodeToString(h.cfg.Seal.Seal(nil, plain, []byte(chainCookie)))
	if len(value) > maxCookie {
		return false
	}
	setChain(w, value, int(chainTime/time.Second))
	return true
}

func (h *Handler) forget(w http.ResponseWriter) { setChain(w, "", -1) }

// setChain replaces what an earlier step of the same answer has set.
func setChain(w http.ResponseWriter, value string, age int) {
	c := &http.Cookie{Name: chainCookie, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: age}
	kept := w.Header().Values("Set-Cookie")
	w.Header()["Set-Cookie"] = slices.DeleteFunc(slices.Clone(kept), func(s string) bool { return strings.HasPrefix(s, chainCookie+"=") })
	http.SetCookie(w, c)
}

// kept reads the state, nil when there is none that lives.
func (h *Handler) kept(r *http.Request) *chain {
	all := r.CookiesNamed(chainCookie)
	if len(all) != 1 {
		return nil
	}
	sealed, err := base64.RawURLEncoding.DecodeString(all[0].Value)
	if err != nil {
		return nil
	}
	plain, err := h.cfg.Seal.Open(nil, sealed, []byte(chainCookie))
	if err != nil {
		return nil
	}
	c := &chain{}
	if err := json.Unmarshal(plain, c); err != nil || !h.cfg.Now().Before(c.Ends) {
		return nil
	}
	return c
}

// appendLogoutRequest writes a LogoutRequest in canonical form (SAML Core 2.0
// §3.7.1; Profiles §4.4.4.1), signed when a signer is given.
func appendLogoutRequest(p *Party, v *visit, c *chain, now time.Time, signer *token.Signer) ([]byte, error) {
	m := &message{element: "LogoutRequest", id: c.Asked, destination: p.Logout.URL, issuer: v.Issuer, instant: now, notOnOrAfter: now.Add(chainTime)}
	var w xmlsec.Writer
	w.Reset(nil)
	appendNameID(&w, v.Format, v.NameID)
	if c.SessionIndex != "" {
		w.Raw(`<samlp:SessionIndex>`)
		w.Text("SessionIndex", c.SessionIndex)
		w.Raw(`</samlp:SessionIndex>`)
	}
	body, err := w.Bytes()
	if err != nil {
		return nil, err
	}
	m.body = body
	out, err := m.append(signer)
	if err != nil {
		return nil, fmt.Errorf("saml: writing a LogoutRequest: %w", err)
	}
	return out, nil
}
