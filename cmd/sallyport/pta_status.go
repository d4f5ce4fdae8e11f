package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/ptaagent"
)

func ptaStatus(e env, cfg *config.Config, request string) error {
	s, err := askAgent(cfg.Ops.Control)
	if request != "" {
		return ptaRequest(e.stdout, cfg, s, request, err)
	}
	if err != nil {
		// What is on disk is known all the same.
		if id, lerr := app.PTAIdentity(cfg, time.Now()); lerr == nil {
			printAgent(e.stdout, id.Agent(), id.Tenant(), id.Thumbprint(), id.NotAfter(), time.Now())
		} else {
			err = errors.Join(err, lerr)
		}
		return err
	}
	printStatus(e.stdout, s, time.Now())
	return nil
}

// ptaRequest shows all that is known of one sign-in: the audit trail says why it ended
// as it did, the running service how long each step took. s is nil where no service
// answers, and untold then says why.
func ptaRequest(w io.Writer, cfg *config.Config, s *ptaagent.Status, id string, untold error) error {
	records, trail := findRecords(cfg, id)
	for _, r := range records {
		printRecord(w, r)
	}
	found := len(records)
	if s != nil {
		found += printSteps(w, s.Recent, id)
	}
	if found > 0 {
		return nil
	}
	return errors.Join(fmt.Errorf("this host knows no request with the correlation id %q; the sign-in log's authentication details name the agent that answered it", id), trail, untold)
}

// askAgent asks the running service how its agent is.
func askAgent(socket string) (*ptaagent.Status, error) {
	if socket == "" {
		return nil, errors.New("ops.control is not set, so the running service cannot be asked: name a socket there and start it again")
	}
	client := http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	resp, err := client.Get("http://control/pta")
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s belongs to the service's user: run this as that user or root", socket)
	case err != nil:
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, fmt.Errorf("no service answers on %s, so it is not running with these settings: %w", socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("the service runs no agent: pta.enabled is false, or none is registered (sallyport pta register)")
	}
	s := &ptaagent.Status{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 32<<20)).Decode(s); err != nil {
		return nil, fmt.Errorf("the service's answer cannot be read: %w", err)
	}
	return s, nil
}

// printSteps shows the steps of the requests with a correlation id.
func printSteps(w io.Writer, recent []ptaagent.Request, id string) (found int) {
	for _, r := range recent {
		if !strings.EqualFold(r.CorrelationID, id) {
			continue
		}
		found++
		fmt.Fprintf(w, "%s  %q: %s, the cloud was told %d\n", stamp(r.Received), r.User, r.Reason, r.Number)
		fmt.Fprintf(w, "  waited %s, decrypted %s, judged %s, posted %s, in all %s\n", short(r.Waited), short(r.Decrypted), short(r.Judged), short(r.Posted), short(r.Took))
		if r.Error != "" {
			fmt.Fprintf(w, "  the cloud did not get it: %s\n", r.Error)
		}
	}
	return found
}

// printStatus shows how the agent is.
func printStatus(w io.Writer, s *ptaagent.Status, now time.Time) {
	printAgent(w, s.Agent, s.Tenant, s.Thumbprint, s.NotAfter, now)
	if s.RenewError != "" {
		fmt.Fprintf(w, "             not renewed: %s\n", s.RenewError)
	}
	switch {
	case s.Bootstrapped.IsZero():
		fmt.Fprint(w, "heartbeat    none has worked yet\n")
	default:
		fmt.Fprintf(w, "heartbeat    %s, %d failures since\n", stamp(s.Bootstrapped), s.Failures)
	}
	if s.BootstrapError != "" {
		fmt.Fprintf(w, "             %s\n", s.BootstrapError)
	}
	if s.CloudState != "" {
		fmt.Fprintf(w, "cloud says   %s\n", strings.TrimSpace(s.CloudState+" "+s.CloudMessage))
	}
	switch {
	case len(s.Strange) > 0:
		for _, x := range s.Strange {
			fmt.Fprintf(w, "ALARM        %s\n", printable(x.String()))
		}
	case !s.Inspected.IsZero():
		fmt.Fprintf(w, "inventory    all agents of the tenant known at %s\n", stamp(s.Inspected))
	}
	if s.InventoryError != "" {
		fmt.Fprintf(w, "inventory    not compared: %s\n", s.InventoryError)
	}
	printLinks(w, s.Links, s.Tenant)
	printRecent(w, s.Recent, now)
}

// printLinks shows the signalling links; their names without the tenant, which all have.
func printLinks(w io.Writer, links []ptaagent.Link, tenant string) {
	up, width := 0, 0
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = strings.Replace(l.Endpoint, "/"+tenant+"_", "/", 1)
		width = max(width, len(names[i]))
		if l.Listening {
			up++
		}
	}
	fmt.Fprintf(w, "\nlinks        %d of %d up\n", up, len(links))
	for i, l := range links {
		state := "down"
		if l.Listening {
			state = "up"
		}
		fmt.Fprintf(w, "  %-4s  %-*s  since %s, %d notifications\n", state, width, names[i], stamp(l.Since), l.Notices)
		if l.LastError != "" {
			fmt.Fprintf(w, "        last error: %s\n", l.LastError)
		}
	}
}

func printAgent(w io.Writer, agent, tenant, thumbprint string, end, now time.Time) {
	left := fmt.Sprintf("%d days left", int(end.Sub(now).Hours()/24))
	if !end.After(now) {
		left = "expired on " + end.UTC().Format(time.DateOnly)
	}
	fmt.Fprintf(w, "agent        %s\ntenant       %s\ncertificate  %s, %s\n", agent, tenant, thumbprint, left)
}

// printRecent sums up the requests that the agent remembers, the newest first.
func printRecent(w io.Writer, recent []ptaagent.Request, now time.Time) {
	if len(recent) == 0 {
		fmt.Fprint(w, "\nno request yet\n")
		return
	}
	reasons := map[string]int{}
	lost, minute := 0, 0
	steps := []struct {
		name  string
		of    func(ptaagent.Request) time.Duration
		times []time.Duration
	}{
		{name: "waited", of: func(r ptaagent.Request) time.Duration { return r.Waited }},
		{name: "decrypted", of: func(r ptaagent.Request) time.Duration { return r.Decrypted }},
		{name: "judged", of: func(r ptaagent.Request) time.Duration { return r.Judged }},
		{name: "posted", of: func(r ptaagent.Request) time.Duration { return r.Posted }},
		{name: "in all", of: func(r ptaagent.Request) time.Duration { return r.Took }},
	}
	for _, r := range recent {
		reasons[r.Reason]++
		if r.Error != "" {
			lost++
		}
		if now.Sub(r.Received) <= time.Minute {
			minute++
		}
		for i := range steps {
			steps[i].times = append(steps[i].times, steps[i].of(r))
		}
	}
	fmt.Fprintf(w, "\nlast request %s: %s, took %s\nthe last %d requests, %d of them in the last minute; %d answers were not taken\n",
		stamp(recent[0].Received), recent[0].Reason, short(recent[0].Took), len(recent), minute, lost)
	var names []string
	for name := range reasons {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(w, "  %6d  %s\n", reasons[name], name)
	}
	fmt.Fprintf(w, "  %-10s %8s %8s %8s\n", "time", "p50", "p95", "p99")
	for _, s := range steps {
		slices.Sort(s.times)
		at := func(percent int) string { return short(s.times[(len(s.times)*percent+99)/100-1]) } // nearest rank
		fmt.Fprintf(w, "  %-10s %8s %8s %8s\n", s.name, at(50), at(95), at(99))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// short is a time with three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
