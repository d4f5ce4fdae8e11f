package ptatest

import (
	"context"
	"net/http"
)

type grant struct{}
type code struct{}

func (c *Cloud) route(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// SignIn makes one sign-in over an agent.
func (c *Cloud) SignIn(ctx context.Context, s SignIn) (Verdict, error) {
	return Verdict{}, ErrNoAgent
}

// Stats are the counters now.
func (c *Cloud) Stats() Stats { return Stats{} }

// AdminToken is an access token for the registration, as an administrator of
// the tenant gets it.
func (c *Cloud) AdminToken() string { return "" }

// RestartRelay cuts all links and relayed connections at the TCP level, as a
// restart of the relay does.
func (c *Cloud) RestartRelay() {}

// CutLinks closes the links' TCP connections without a word.
func (c *Cloud) CutLinks() {}

// DetachLinks ends every link with an AMQP error condition.
func (c *Cloud) DetachLinks(cond Condition) {}

// Freeze stops all traffic of the links that stand now, in both directions,
// while their TCP connections stay open.
func (c *Cloud) Freeze() {}

// ExpireTokens treats the SAS tokens of all links as expired.
func (c *Cloud) ExpireTokens() {}
