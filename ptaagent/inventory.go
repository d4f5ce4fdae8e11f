package ptaagent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/authn/audit"
)

// Listed is one agent as the cloud lists it.
type Listed struct {
	// ID is the agent's GUID in lower case.
	ID string `json:"id"`
	// Machine is the name that it told, and Address where its last heartbeat came from.
	Machine string `json:"machineName"`
	Address string `json:"externalIp"`
	// Status is active or inactive.
	Status string `json:"status"`
}

// Known is what an organisation knows of its own agents.
type Known struct {
	// Agents are their ids.
	Agents []string
	// Networks are where their heartbeats come from. Empty: anywhere.
	Networks []netip.Prefix
}

// Strange is an agent that should not be there, or not from where it is.
type Strange struct {
	Listed
	Why string
}

// String names the agent and the reason.
func (s Strange) String() string {
	return fmt.Sprintf("agent %s on %q at %s: %s", s.ID, s.Machine, cmp.Or(s.Address, "no address"), s.Why)
}

// Judge compares the cloud's list with what is known, inactive agents included: whoever
// registered one can start it at any time.
func (k Known) Judge(list []Listed) (strange []Strange) {
	for _, l := range list {
		switch {
		case !slices.ContainsFunc(k.Agents, func(id string) bool { return strings.EqualFold(id, l.ID) }):
			strange = append(strange, Strange{l, "nobody here knows it"})
		case l.Address != "" && len(k.Networks) > 0 && !within(l.Address, k.Networks):
			strange = append(strange, Strange{l, "it is one of ours, and its heartbeat comes from elsewhere: its key may be stolen"})
		}
	}
	return strange
}

func within(address string, networks []netip.Prefix) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a.Unmap()) })
}

// Inventory asks for the tenant's agents. The token is a person's: applications are not
// let in. One for Microsoft Graph (delegated Policy.Read.HybridAuthentication, of the
// beta version) asks there, one for the registration service asks the agents' own
// platform.
func Inventory(ctx context.Context, c Cloud, n Network, tenant, token string) ([]Listed, error) {
	if err := checkTenant(tenant); err != nil {
		return nil, err
	}
	claims := readClaims(token)
	if claims.Tenant != "" && !strings.EqualFold(claims.Tenant, tenant) { // Graph would list that tenant's
		return nil, fmt.Errorf("%w: it is of tenant %.60q, not of %s", errToken, claims.Tenant, tenant)
	}
	host, path := tenant+".admin."+c.Service, "/onPremisesPublishingProfiles('authentication')/agents"
	header := http.Header{"Authorization": {"Bearer " + token}, "X-Ms-Gateway-Serviceroot": {""}}
	switch claims.Audience {
	case "https://" + c.Graph, "https://" + c.Graph + "/", "00000003-0000-0000-c000-000000000000":
		host, path = c.Graph, "/beta/onPremisesPublishingProfiles/authentication/agents"
		header.Del("X-Ms-Gateway-Serviceroot")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header = header
	client := n.client(nil)
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return nil, Explain(host, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%s answers %s: the access token has expired, or its user may not read the agents", host, resp.Status)
	default:
		return nil, fmt.Errorf("%s answers %s", host, resp.Status)
	}
	return readInventory(io.LimitReader(resp.Body, 1<<20))
}

// maxListed is far more than a tenant may have, 40.
const maxListed = 1000

var errInventory = errors.New("the list of agents cannot be read")

func readInventory(r io.Reader) ([]Listed, error) {
	var answer struct {
		Value *[]Listed `json:"value"`
		Next  string    `json:"@odata.nextLink"`
	}
	if err := json.NewDecoder(r).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%w: %w", errInventory, err)
	}
	if answer.Value == nil || answer.Next != "" || len(*answer.Value) > maxListed {
		return nil, fmt.Errorf("%w: it is none, or only the beginning of one", errInventory)
	}
	list := *answer.Value
	for i := range list {
		if list[i].ID = strings.ToLower(list[i].ID); list[i].ID == "" {
			return nil, fmt.Errorf("%w: an agent without an id", errInventory)
		}
	}
	return list, nil
}

// Complete returns an error for a list that lacks an agent which is registered in the
// tenant: nothing may be concluded from it.
func Complete(list []Listed, agent string) error {
	if slices.ContainsFunc(list, func(l Listed) bool { return strings.EqualFold(l.ID, agent) }) {
		return nil
	}
	return fmt.Errorf("%w: it lacks this agent, %s, which was removed from the tenant, or the access token shows another tenant or a part of this one", errInventory, agent)
}

// Inspection lets an agent compare the tenant's agents with those that are known, at
// its start and once a day.
type Inspection struct {
	// Known are the organisation's agents; this one is known by itself.
	Known Known
	// Token returns a fresh access token of a person. Nil: nothing is compared.
	Token func() (string, error)
	// Every is how often. Default 24 h.
	Every time.Duration
}

// inspections compares until ctx ends.
func (a *Agent) inspections(ctx context.Context) {
	i := a.cfg.Inspection
	if i.Token == nil {
		return
	}
	known := i.Known
	known.Agents = append([]string{a.cfg.Identity.Agent()}, known.Agents...)
	began, last := a.cfg.Now(), ""
	for ctx.Err() == nil {
		wait := i.Every
		list, err := a.inventory(ctx)
		if err != nil {
			wait = min(wait, time.Hour)
			a.note(func(s *Status) { s.InventoryError = err.Error() })
			a.cfg.Logger.Warn("pta: the tenant's agents were not compared", "error", err)
		} else {
			strange := known.Judge(list)
			a.note(func(s *Status) { s.Inspected, s.InventoryError, s.Strange = a.cfg.Now(), "", strange })
			last = a.alarm(ctx, strange, last)
		}
		a.note(func(s *Status) { s.uninspected = a.cfg.Now().Sub(laterOf(began, s.Inspected)) > 2*i.Every })
		sleep(ctx, wait)
	}
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (a *Agent) inventory(ctx context.Context) ([]Listed, error) {
	token, err := a.cfg.Inspection.Token()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	list, err := Inventory(ctx, a.cfg.Cloud, a.cfg.Network, a.cfg.Identity.Tenant(), token)
	if err != nil {
		return nil, err
	}
	return list, Complete(list, a.cfg.Identity.Agent())
}

// alarm says what is strange, whenever that changes, and returns it as text.
func (a *Agent) alarm(ctx context.Context, strange []Strange, last string) string {
	a.metrics.strange.Set(float64(len(strange)))
	var names []string
	for _, s := range strange {
		names = append(names, s.String())
	}
	text := strings.Join(names, "; ")
	if text == last {
		return text
	}
	e := &audit.Event{Time: a.cfg.Now(), Code: audit.AgentsView, Protocol: "pta", Reason: "known", Detail: text}
	if text != "" {
		e.Reason = "strange"
		a.cfg.Logger.Error("ALARM: pta: the tenant has an agent that should not be there", "agents", text)
	}
	if err := a.cfg.Audit.Record(context.WithoutCancel(ctx), e); err != nil {
		a.cfg.Logger.Error("pta: the comparison of the tenant's agents was not recorded", "error", err)
	}
	return text
}
