package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/ptaagent"
)

func ptaCommand() command {
	c := command{name: "pta", synopsis: "pta register|status --config F", help: "the pass-through authentication agent"}
	c.run = func(e env, args []string) int {
		f := flags(e, c, `register   signs an administrator in, registers this host as an agent of the tenant,
           and stores key and certificate in pta.state_dir. The sign-in uses the
           public client id of Microsoft's own agent; Microsoft publishes no
           interface for agents of others.
status     asks the running service: links, last requests, certificate, what the
           cloud last told. --request ID shows one sign-in by the correlation id
           that Microsoft's sign-in log shows.`)
		file := f.String("config", "", "the settings `file` of the service")
		tenant := f.String("tenant", "", "register: the tenant's id, a `GUID`")
		token := f.String("token-file", "", "register: a `file` that holds an access token, instead of a sign-in")
		request := f.String("request", "", "status: the correlation `ID` of one sign-in")
		rest, status, done := parse(e, f, args, 1, 1)
		if done {
			return status
		}
		if *file == "" || (rest[0] != "register" && rest[0] != "status") || (rest[0] == "register" && *tenant == "") {
			fmt.Fprintln(e.stderr, "sallyport pta: say pta register --config F --tenant GUID, or pta status --config F")
			return exitUsage
		}
		cfg, ok := load(e, *file)
		if !ok {
			return exitFailed
		}
		run := func() error { return ptaStatus(e, cfg, *request) }
		if rest[0] == "register" {
			run = func() error { return ptaRegister(e, cfg, *tenant, *token) }
		}
		if err := run(); err != nil {
			fmt.Fprintln(e.stderr, "sallyport pta:", err)
			return exitFailed
		}
		return exitGood
	}
	return c
}

func ptaRegister(e env, cfg *config.Config, tenant, tokenFile string) error {
	if cfg.PTA.StateDir == "" {
		return errors.New("pta.state_dir is not set: name the directory for key and certificate there")
	}
	network, err := app.PTANetwork(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cloud := app.PTACloud(cfg)
	var token string
	if tokenFile != "" {
		text, err := os.ReadFile(tokenFile)
		if err != nil {
			return err
		}
		token = strings.TrimSpace(string(text))
	} else {
		signIn := ptaagent.NewAdminSignIn(cloud, tenant)
		fmt.Fprintf(e.stdout, "Open this address in a browser and sign in as Hybrid Identity Administrator:\n\n%s\n\nThen paste the address of the empty page that follows: ", signIn.Address)
		line, err := bufio.NewReader(io.LimitReader(e.stdin, 64<<10)).ReadString('\n')
		if err != nil && line == "" {
			return fmt.Errorf("no address was pasted: %w", err)
		}
		if token, err = signIn.Redeem(ctx, network, strings.TrimSpace(line)); err != nil {
			return err
		}
	}
	id, err := ptaagent.Register(ctx, ptaagent.Registration{Tenant: tenant, Token: token, Dir: cfg.PTA.StateDir, Cloud: cloud, Network: network})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "\nagent %s of tenant %s is registered\ncertificate %s holds until %s\nstored in %s\n\n"+
		"The portal shows it under Entra Connect, Pass-through authentication, once the service runs with pta.enabled: true.\n",
		id.Agent(), id.Tenant(), id.Thumbprint(), id.NotAfter().UTC().Format("2006-01-02"), cfg.PTA.StateDir)
	return nil
}

func ptaStatus(e env, cfg *config.Config, request string) error {
	if cfg.Ops.Control == "" {
		return errors.New("ops.control is not set, so the running service cannot be asked: name a socket there and start it again")
	}
	client := http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", cfg.Ops.Control)
		},
	}}
	resp, err := client.Get("http://control/pta")
	if err != nil {
		return fmt.Errorf("no service answers on %s: %w", cfg.Ops.Control, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New("the service runs no agent: pta.enabled is false, or none is registered")
	}
	var s ptaagent.Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&s); err != nil {
		return fmt.Errorf("the service's answer cannot be read: %w", err)
	}
	printStatus(e.stdout, s, request, time.Now())
	return nil
}

func printStatus(w io.Writer, s ptaagent.Status, request string, now time.Time) {
	if request != "" {
		for _, r := range s.Recent {
			if strings.EqualFold(r.CorrelationID, request) {
				fmt.Fprintf(w, "%s  %q  %s (told the cloud %d)\n  waited %s, decrypted %s, judged %s, posted %s, in all %s\n", r.Received.UTC().Format(time.RFC3339),
					r.User, r.Reason, r.Number, r.Waited, r.Decrypted, r.Judged, r.Posted, r.Took)
				if r.Error != "" {
					fmt.Fprintf(w, "  the cloud did not get it: %s\n", r.Error)
				}
			}
		}
		return
	}
	fmt.Fprintf(w, "agent %s of tenant %s\ncertificate %s, %d days left\n", s.Agent, s.Tenant, s.Thumbprint, int(s.NotAfter.Sub(now).Hours()/24))
	fmt.Fprintf(w, "last bootstrap %s, %d failures since %s\n", s.Bootstrapped.UTC().Format(time.RFC3339), s.Failures, s.BootstrapError)
	fmt.Fprintf(w, "the cloud says %s %s\n", s.CloudState, s.CloudMessage)
	for _, l := range s.Links {
		state := "down"
		if l.Listening {
			state = "up"
		}
		fmt.Fprintf(w, "  %-4s %s since %s, %d requests %s\n", state, l.Endpoint, l.Since.UTC().Format(time.RFC3339), l.Notices, l.LastError)
	}
	good := 0
	for _, r := range s.Recent {
		if r.Number == 0 && r.Error == "" {
			good++
		}
	}
	fmt.Fprintf(w, "of the last %d requests %d were accepted\n", len(s.Recent), good)
	if len(s.Recent) > 0 {
		r := s.Recent[0]
		fmt.Fprintf(w, "last request %s: %s, took %s\n", r.Received.UTC().Format(time.RFC3339), r.Reason, r.Took)
	}
}
