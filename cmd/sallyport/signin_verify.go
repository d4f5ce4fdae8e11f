package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/federation/verify"
)

// judged is a verdict as it is printed.
type judged struct {
	// Against says where the certificates came from that the token was judged by.
	Against string `json:"against"`
	*verify.Verdict
	Accepted bool `json:"accepted"`
}

// verifyTrial judges the token of a trial as Microsoft would. The slots of the
// domains come from files, from Microsoft itself where Graph is set up, else they are
// taken to hold what this service has.
func verifyTrial(ctx context.Context, cfg *config.Config, t *app.Trial, current, next string) (*judged, error) {
	if t.Party.Key != "microsoft365" {
		return nil, fmt.Errorf("--verify knows the rules of Microsoft 365, not those of %s", t.Party.Key)
	}
	want := verify.Want{Now: time.Now(), Audiences: t.Party.Identifiers}
	j := &judged{}
	var err error
	switch {
	case current != "" || next != "":
		j.Against = "the certificates of the command line"
		want.Domains, err = slotsOfFiles(cfg, current, next)
	case cfg.Microsoft365.Graph.On():
		j.Against = "what Microsoft holds now"
		want.Domains, err = slotsOfMicrosoft(ctx, cfg)
	default:
		j.Against = "this service's own certificates, as if Microsoft held them: microsoft365.graph or --certificate compares with what it does hold"
		want.Domains, err = slotsOfOwn(cfg, t)
	}
	if err != nil {
		return nil, err
	}
	j.Verdict = verify.Token(t.Signed, want)
	j.Accepted = j.OK()
	return j, nil
}

func slotsOfFiles(cfg *config.Config, current, next string) ([]verify.Domain, error) {
	list := ownDomains(cfg)
	for i, path := range []string{current, next} {
		if path == "" {
			continue
		}
		own, err := app.OwnOfFile(path)
		if err != nil {
			return nil, err
		}
		for d := range list {
			if i == 0 {
				list[d].Current = own.Signing
			} else {
				list[d].Next = own.Signing
			}
		}
	}
	return list, nil
}

func slotsOfMicrosoft(ctx context.Context, cfg *config.Config) ([]verify.Domain, error) {
	client, err := app.GraphClient(cfg)
	if err != nil {
		return nil, err
	}
	var list []verify.Domain
	for _, d := range cfg.Microsoft365.Domains {
		f, err := client.Federation(ctx, d.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Name, err)
		}
		list = append(list, verify.Domain{Name: d.Name, Issuer: f.IssuerURI, Current: f.Signing.Certificate, Next: f.Next.Certificate, MFA: f.MFA})
	}
	return list, nil
}

// slotsOfOwn is what Microsoft ought to hold. Before the first start that is the
// passing key's certificate.
func slotsOfOwn(cfg *config.Config, t *app.Trial) ([]verify.Domain, error) {
	list := ownDomains(cfg)
	for i := range list {
		list[i].Current = t.Certificate
	}
	return list, nil
}

func ownDomains(cfg *config.Config) []verify.Domain {
	var list []verify.Domain
	for _, d := range cfg.Microsoft365.Domains {
		list = append(list, verify.Domain{Name: d.Name, Issuer: d.Issuer})
	}
	return list
}

// print writes the verdict, a line for each rule.
func (j *judged) print(w io.Writer) error {
	fmt.Fprintf(w, "\nJudged as Microsoft would, against %s:\n", j.Against)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range j.Findings {
		mark := "ok"
		if !f.OK {
			mark = "NO"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", mark, f.Rule, printable(f.Found))
		if f.Remedy != "" {
			fmt.Fprintf(t, "\t\t-> %s\n", printable(f.Remedy))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := "It would be accepted."
	if !j.Accepted {
		verdict = "It would be REFUSED."
	}
	_, err := fmt.Fprintln(w, verdict)
	return err
}
