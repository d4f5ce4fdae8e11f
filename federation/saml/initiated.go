package saml

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"sallyport/federation"
	"sallyport/federation/web"
)

// AD FS's addresses for sign-ins that begin at the identity provider: the present one,
// and that of Windows Server 2012 R2, which bookmarks have.
const (
	initiatedPath    = "/adfs/ls/idpinitiatedsignon.aspx"
	initiatedPathOld = "/adfs/ls/idpinitiatedsignon.htm"
)

// Routes implements [web.Mount] for sign-ins that begin here. Messages come by way
// of the dispatcher of /adfs/ls/.
func (h *Handler) Routes(r *web.Router) {
	for name, path := range map[string]string{"idpinitiated": initiatedPath, "idpinitiated_old": initiatedPathOld} {
		r.Handle(web.Route{Name: name, Path: path, Methods: []string{http.MethodGet, http.MethodPost}, Handler: h.initiate})
	}
	r.Handle(web.Route{Name: routeLogout, Path: LogoutPath, Methods: []string{http.MethodPost}, Body: MaxSOAP, Faults: true, Handler: h.serveLogout})
}

// initiate signs a person in to a party that has asked for nothing. Whoever sends
// a browser here chooses the party; that is why a party has to be switched on for
// it. There is no list of parties to choose from. A message of a party is served as at
// the usual address, since parties are told this one for AD FS (Zoom's guide is one
// that says so), where the query names them once more.
func (h *Handler) initiate(w http.ResponseWriter, r *http.Request) error {
	params, err := web.ParseParams(r.URL.RawQuery)
	if err == nil && r.Method == http.MethodPost {
		params, err = web.Form(r)
	}
	if err != nil {
		return h.refused(r, nil, federation.Refuse(federation.ProblemBadRequest, nil, err))
	}
	if r.Method == http.MethodPost || params.Has("SAMLRequest") || params.Has("SAMLResponse") {
		return h.Serve(w, r)
	}
	if len(params) == 0 { // as people look whether AD FS works
		redirect(w, r, h.cfg.URL)
		return nil
	}
	entity, state, hasState, err := chosen(params)
	if err != nil {
		return h.refused(r, nil, federation.Refuse(federation.ProblemBadRequest, nil, err))
	}
	p := h.cfg.Responder.Parties().ByEntity(entity)
	if p == nil || !p.Unsolicited {
		return h.refused(r, p, federation.Refuse(federation.ProblemUnknownParty, nil,
			fmt.Errorf("saml: no sign-in to %.300q may begin here", entity)))
	}
	x := extra{accepted: h.cfg.Now(), format: p.NameIDFormat}
	return h.cfg.Flow.Begin(w, r, &federation.SignInRequest{
		Protocol: "saml", Party: &p.RelyingParty, Realm: entity, ReplyTo: p.defaultConsumer().URL,
		State: state, HasState: hasState, Extra: x.encode(),
	})
}

// chosen reads the party and its own RelayState: loginToRp names the party alone;
// RelayState holds RPID and RelayState, each encoded once and the whole once more.
// Some guides encode the whole only, so that both are read (the values of a URL
// do not change by a second decoding unless they hold a percent sign).
func chosen(params web.Params) (entity, state string, hasState bool, err error) {
	entity, direct, err := params.One("loginToRp")
	if err != nil {
		return "", "", false, err
	}
	outer, nested, err := params.One("RelayState")
	switch {
	case err != nil:
		return "", "", false, err
	case !direct && !nested:
		return "", "", false, fmt.Errorf("%w: neither loginToRp nor RelayState", errMessage)
	case direct:
		state, hasState = outer, nested
	default:
		inner, err := web.ParseParams(outer)
		if err != nil {
			return "", "", false, err
		}
		if entity, _, err = inner.One("RPID"); err != nil {
			return "", "", false, err
		}
		if state, hasState, err = inner.One("RelayState"); err != nil {
			return "", "", false, err
		}
	}
	if len(state) > maxState || strings.ContainsAny(state, "\x00\r\n") || !utf8.ValidString(state) {
		return "", "", false, fmt.Errorf("%w: RelayState is too long or holds bytes that a browser would not return", errMessage)
	}
	return entity, state, hasState, nil
}
