package pages

import (
	"html/template"
	"math"
	"net/http"
	"strconv"
	"time"

	"sallyport/federation"
	"sallyport/federation/web"
)

// way is what an error page offers besides the service desk.
type way uint8

const (
	nothing way = iota
	tryAgain
	startAgain
	otherAccount
	changePassword
)

// entryOf describes one problem: status, way on, and whether the desk can help.
type entryOf struct {
	status int
	way    way
	desk   bool
}

// catalogue is section 5 of the error catalogue; the texts have the same keys.
var catalogue = map[federation.Problem]entryOf{
	federation.ProblemDisabled:        {http.StatusForbidden, nothing, true},
	federation.ProblemAccountExpired:  {http.StatusForbidden, nothing, true},
	federation.ProblemHours:           {http.StatusForbidden, nothing, true},
	federation.ProblemRestricted:      {http.StatusForbidden, nothing, true},
	federation.ProblemNotReady:        {http.StatusForbidden, nothing, true},
	federation.ProblemNotAllowed:      {http.StatusForbidden, otherAccount, true},
	federation.ProblemDirectory:       {http.StatusServiceUnavailable, tryAgain, true},
	federation.ProblemThrottled:       {http.StatusTooManyRequests, tryAgain, true},
	federation.ProblemBusy:            {http.StatusServiceUnavailable, tryAgain, true},
	federation.ProblemStale:           {http.StatusBadRequest, startAgain, false},
	federation.ProblemCookies:         {http.StatusBadRequest, startAgain, false},
	federation.ProblemLoop:            {http.StatusBadRequest, nothing, true},
	federation.ProblemUnknownParty:    {http.StatusBadRequest, nothing, true},
	federation.ProblemBadRequest:      {http.StatusBadRequest, nothing, false},
	federation.ProblemMethod:          {http.StatusBadRequest, nothing, true},
	federation.ProblemNotFound:        {http.StatusNotFound, nothing, true},
	federation.ProblemInternal:        {http.StatusInternalServerError, tryAgain, true},
	federation.ProblemChangeElsewhere: {http.StatusOK, changePassword, true},
}

// Error draws the page of e. It is the one place that turns errors into what a
// person reads; a problem that is not in the catalogue becomes "internal".
//
// It implements the edge's error page.
func (s *Set) Error(w http.ResponseWriter, r *http.Request, info *web.Info, e *federation.Error) {
	if err := s.drawError(w, r, info, e); err != nil {
		// Only a mistake in the templates leads here; the tests draw every page.
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte("Reference: " + info.Reference + "\n"))
	}
}

func (s *Set) drawError(w http.ResponseWriter, r *http.Request, info *web.Info, e *federation.Error) error {
	kind, ok := catalogue[e.Problem]
	if !ok {
		e = &federation.Error{Problem: federation.ProblemInternal}
		kind = catalogue[e.Problem]
	}
	status := kind.status
	if e.Status != 0 {
		status = e.Status
	}
	facts := *info
	facts.CorrelationID = web.CorrelationID(info.CorrelationID) // a GUID or nothing
	v := s.view(w, r, "", view{Failed: true, Token: e.Retry, Menu: linkMenu(r), Facts: &facts})
	if err := v.describe(e); err != nil {
		return err
	}
	if err := v.offers(kind, e); err != nil {
		return err
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	return s.write(w, r, status, policy{}, v)
}

// describe fills title, box and text.
func (v *view) describe(e *federation.Error) (err error) {
	key, party := string(e.Problem), v.s.cfg.Org
	if e.Party != nil {
		party = e.Party.NameIn(v.lang.Code)
	}
	vars := []string{"party", party, "host", v.s.cfg.Host, "n", minutes(e.RetryAfter)}
	if v.Title, v.Heading, err = v.title(key+".title", vars...); err != nil {
		return err
	}
	if v.Box, err = v.H(key+".text", vars...); err != nil || e.Problem != federation.ProblemDirectory {
		return err
	}
	v.Text = v.Box
	v.Box, err = v.H("directory.box")
	return err
}

// minutes is a waiting time for people: rounded up and never 1, so that the text
// needs no singular.
func minutes(d time.Duration) string {
	return strconv.Itoa(max(2, int(math.Ceil(d.Minutes()))))
}

// offers fills the ways on.
func (v *view) offers(kind entryOf, e *federation.Error) (err error) {
	if help := v.s.cfg.Links.Help; kind.desk && help != "" {
		label, err := v.T("action.desk")
		if err != nil {
			return err
		}
		v.Second = &offer{Label: label, Link: help}
	}
	key, action := "", ActionAgain
	switch kind.way {
	case tryAgain:
		key = "action.again"
	case startAgain:
		key = "action.start"
	case otherAccount:
		key, action = "action.other", ActionOther
	case changePassword:
		if link := v.s.cfg.Links.Change; link != "" {
			v.Primary = &offer{Link: link}
			v.Primary.Label, err = v.T("action.change")
		}
		return err
	default:
		return nil
	}
	label, err := v.T(key)
	switch {
	case err != nil:
		return err
	case v.Token != "":
		v.Post, v.Primary = true, &offer{Label: label, Action: action}
	case kind.way != otherAccount && e.Party != nil && isHTTPS(e.Party.StartURL):
		v.Primary = &offer{Label: label, Link: e.Party.StartURL}
	}
	return nil
}

// escaped is text that needs no mark-up.
func escaped(s string) template.HTML { return template.HTML(template.HTMLEscapeString(s)) } // #nosec G203
