package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"sallyport/authn"
	"sallyport/certs"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/cmd/internal/telemetry"
)

func signinCommand() command {
	c := command{name: "signin", synopsis: "signin USER [--rp PARTY] [--verify] [--json] --config F", help: "sign in by hand and print the claims"}
	c.run = func(e env, args []string) int {
		f := flags(e, c, `Asks for the password (on the terminal, or one line of standard input), signs USER
in as the service does, and prints the claims that the relying party would get; with
the settings of an agent alone, only what is said about the password.
A wrong password counts in Active Directory as any other.

With --verify the token is judged offline as Microsoft would judge it, before any
domain is touched: by the certificates that Microsoft holds (read by Graph where
microsoft365.graph is set), or by those of --certificate and --next-certificate.`)
		doVerify := f.Bool("verify", false, "judge the token as Microsoft would; exit 1 when it would be refused")
		current := f.String("certificate", "", "a PEM `file` as the domain's signingCertificate (with --verify)")
		next := f.String("next-certificate", "", "a PEM `file` as its nextSigningCertificate (with --verify)")
		path := f.String("config", defaultConfig, "the settings `file`")
		party := f.String("rp", "", "the relying `party`, by key or identifier (default: the first)")
		asJSON := f.Bool("json", false, "print JSON")
		verbose := f.Bool("v", false, "log to standard error")
		rest, status, done := parse(e, f, args, 1, 1)
		if done {
			return status
		}
		cfg, ok := load(e, *path)
		if !ok {
			return exitFailed
		}
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
		defer cancel()
		pw, err := askPassword(e, rest[0])
		if err != nil {
			fmt.Fprintln(e.stderr, "sallyport signin:", err)
			return exitFailed
		}
		log := slog.New(slog.DiscardHandler)
		if *verbose {
			log = telemetry.NewLogger(telemetry.LogConfig{Writer: e.stderr, Level: slog.LevelDebug})
		}
		t, err := try(ctx, cfg, log, rest[0], pw, *party)
		if err != nil {
			fmt.Fprintln(e.stderr, "sallyport signin:", err)
			return exitFailed
		}
		var j *judged
		if *doVerify && t.Assertion != nil {
			if j, err = verifyTrial(ctx, cfg, t, *current, *next); err != nil {
				fmt.Fprintln(e.stderr, "sallyport signin:", err)
				return exitFailed
			}
		}
		return showTrial(e, t, j, *asJSON)
	}
	return c
}

// try signs in beside a service that may be running: its audit file and its
// sockets are left alone.
func try(ctx context.Context, cfg *config.Config, log *slog.Logger, name string, pw *authn.Password, party string) (*app.Trial, error) {
	own := *cfg
	own.Audit = config.Default().Audit
	own.Audit.Stdout = true
	opts := app.Options{Version: release(), Logger: log, Stdout: io.Discard}
	if !cfg.AgentAlone() && noKeyYet(cfg) {
		// Before the first start: a key for this one token, which is thrown away.
		var err error
		if opts.Key, err = passingKey(cfg); err != nil {
			return nil, err
		}
	}
	opts.Beside = true
	own.Signing.Generate = false
	a, err := app.New(&own, opts)
	if err != nil {
		return nil, err
	}
	t, err := a.Try(ctx, name, pw, party)
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return t, errors.Join(err, a.Stop(end))
}

// passingKey makes a signing key that is written nowhere.
func passingKey(cfg *config.Config) (*certs.Key, error) {
	key, cert, err := certs.Generate(cfg.Host(), 2048, time.Now())
	if err != nil {
		return nil, err
	}
	made, _, err := certs.New(key, cert, time.Now())
	return made, err
}

// askPassword reads the password without showing it.
func askPassword(e env, user string) (*authn.Password, error) {
	if fd := int(e.stdin.Fd()); term.IsTerminal(fd) {
		fmt.Fprintf(e.stderr, "Password of %q: ", user)
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(e.stderr)
		if err != nil {
			return nil, fmt.Errorf("reading the password: %w", err)
		}
		return authn.NewPassword(b), nil
	}
	line, err := bufio.NewReaderSize(io.LimitReader(e.stdin, 4096), 4096).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	line = []byte(strings.TrimRight(string(line), "\r\n"))
	if len(line) == 0 {
		return nil, errors.New("standard input holds no password")
	}
	return authn.NewPassword(line), nil
}

// outcome is a trial as it is printed.
type outcome struct {
	Result    string   `json:"result"`
	Cause     string   `json:"cause,omitempty"`
	Party     string   `json:"party,omitempty"`
	Account   string   `json:"account,omitempty"`
	DN        string   `json:"dn,omitempty"`
	ObjectID  string   `json:"object_guid,omitempty"`
	Anchor    string   `json:"immutable_id,omitempty"`
	Issuer    string   `json:"issuer,omitempty"`
	Audience  string   `json:"audience,omitempty"`
	NameID    string   `json:"name_id,omitempty"`
	Format    string   `json:"name_id_format,omitempty"`
	Method    string   `json:"authentication_method,omitempty"`
	Lifetime  string   `json:"lifetime,omitempty"`
	Claims    []claim  `json:"claims,omitempty"`
	Rules     []rule   `json:"rules,omitempty"`
	Size      int      `json:"token_bytes,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	NoToken   string   `json:"no_token,omitempty"`
	Verdict   *judged  `json:"verdict,omitempty"`
	succeeded bool
}

type claim struct {
	Type   string   `json:"type"`
	Values []string `json:"values"`
}

// rule is what a rule of the party did.
type rule struct {
	Rule   string   `json:"rule"`
	Fired  bool     `json:"fired"`
	Why    string   `json:"why,omitempty"`
	Values []string `json:"values,omitempty"`
}

func outcomeOf(t *app.Trial) outcome {
	o := outcome{Result: t.Result.Reason.String(), Warnings: t.Warnings}
	if t.Party != nil {
		o.Party = t.Party.Key
	} else {
		o.succeeded = t.Result.Reason == authn.Accepted
	}
	if t.Result.Cause != nil {
		o.Cause = t.Result.Cause.Error()
	}
	if acc := t.Result.Account; acc != nil {
		o.Account, o.DN, o.ObjectID = acc.Name(), acc.DN, acc.ID.String()
		o.Anchor = base64.StdEncoding.EncodeToString(acc.SourceAnchor())
	}
	if t.Refused != nil {
		o.NoToken = t.Refused.Error()
	}
	for _, s := range t.Steps {
		o.Rules = append(o.Rules, rule{s.Rule, s.Fired, s.Why, s.Values})
	}
	o.Size = t.TokenSize
	if a := t.Assertion; a != nil {
		o.succeeded = true
		o.Issuer, o.Audience, o.NameID, o.Method = a.Issuer, a.Audience, a.NameID, a.AuthnMethod
		o.Format = a.NameIDFormat
		o.Lifetime = a.NotOnOrAfter.Sub(a.NotBefore).String()
		for _, at := range a.Attributes {
			name := at.Name
			if at.Namespace != "" {
				name = at.Namespace + "/" + at.Name
			}
			o.Claims = append(o.Claims, claim{name, at.Values})
		}
	}
	return o
}

func showTrial(e env, t *app.Trial, j *judged, asJSON bool) int {
	o := outcomeOf(t)
	o.Verdict = j
	status := exitFailed
	if o.succeeded && (j == nil || j.Accepted) {
		status = exitGood
	}
	if asJSON {
		return max(status, printJSON(e, o))
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, printable(value))
		}
	}
	line("result", o.Result)
	line("cause", o.Cause)
	line("account", o.Account)
	line("dn", o.DN)
	line("objectGUID", o.ObjectID)
	line("party", o.Party)
	line("no token", o.NoToken)
	line("issuer", o.Issuer)
	line("audience", o.Audience)
	line("name identifier", o.NameID)
	line("its format", o.Format)
	line("method", o.Method)
	line("lifetime", o.Lifetime)
	for _, c := range o.Claims {
		for _, v := range c.Values {
			line(c.Type, v)
		}
	}
	if o.Size > 0 {
		line("size of the token", fmt.Sprintf("%d bytes", o.Size))
	}
	for _, r := range o.Rules {
		line("rule", r.inWords())
	}
	for _, s := range o.Warnings {
		line("warning", s)
	}
	if err := w.Flush(); err != nil {
		return exitFailed
	}
	if j != nil {
		if err := j.print(e.stdout); err != nil {
			return exitFailed
		}
	}
	return status
}

// inWords says in one line what a rule did.
func (r rule) inWords() string {
	text := r.Rule + ": "
	switch {
	case !r.Fired:
		return text + "no, " + r.Why
	case len(r.Values) == 0:
		text += "yes"
	default:
		text += fmt.Sprintf("yes, %d values", len(r.Values))
	}
	if r.Why != "" {
		text += " (" + r.Why + ")"
	}
	return text
}

// printable keeps what the directory holds from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return '\ufffd'
		}
		return r
	}, s)
}
