package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
	"sallyport/federation/partner"
)

const rpHelp = `SAML 2.0 relying parties by their metadata.

  add METADATA     print the settings for the service provider that a file or an
                   https address describes, with a warning for whatever looks
                   wrong; nothing is changed
  certificates METADATA
                   print the certificates (PEM) that the party signs with, for
                   request_certificates_file, for example of Microsoft's own
                   SAML metadata
  import           verify a federation's signed aggregate (--metadata), of up to
                   100 MiB, and keep the entities that are named (--entity) as
                   single files for metadata_file (--out); run it each day, since
                   the files end with the aggregate. It reads one entity at a
                   time: an aggregate of 50 MB needs less than 40 MiB of memory,
                   and the last line says what it was
  list             the SAML parties of the settings, where their metadata comes
                   from, until when it is good and when certificates end`

func rpCommand() command {
	c := command{name: "rp", synopsis: "rp add METADATA | certificates METADATA | import | list", help: "relying parties by their SAML 2.0 metadata"}
	c.run = func(e env, args []string) int {
		r := &rpRun{env: e, flags: flags(e, c, rpHelp)}
		r.declare()
		rest, status, done := parse(e, r.flags, args, 1, 2)
		if done {
			return status
		}
		run, ok := map[string]func(context.Context, []string) int{
			"add": r.add, "certificates": r.printCertificates, "import": r.importAggregate, "list": r.list,
		}[rest[0]]
		if !ok {
			return r.usage("there is no %q: write add, certificates, import or list", rest[0])
		}
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
		defer cancel()
		return run(ctx, rest[1:])
	}
	return c
}

// rpRun is one call of the command.
type rpRun struct {
	env
	flags *flag.FlagSet

	config, metadata, cert, ca, key, out string
	entities                             []string
	asJSON                               bool
}

func (r *rpRun) declare() {
	r.flags.StringVar(&r.config, "config", defaultConfig, "list: the settings `file`")
	r.flags.StringVar(&r.metadata, "metadata", "", "import: the aggregate, a `file` or an https address")
	r.flags.StringVar(&r.cert, "cert", "", "the `file` of certificates (PEM) of which one must have signed the metadata; import needs it")
	r.flags.StringVar(&r.ca, "ca", "", "the `file` of roots (PEM) for the certificate of an https address (default: the system's)")
	r.flags.StringVar(&r.key, "key", "", "add: the party's `key` in the settings (default: made of its name)")
	r.flags.StringVar(&r.out, "out", "", "import: the `directory` that the files go to")
	r.flags.Func("entity", "an entity `id`; add: which one, when there are several; import: which ones, once for each", func(id string) error {
		if id == "" {
			return errors.New("it is empty")
		}
		r.entities = append(r.entities, id)
		return nil
	})
	r.flags.BoolVar(&r.asJSON, "json", false, "list: print JSON")
}

func (r *rpRun) usage(format string, args ...any) int {
	fmt.Fprintf(r.stderr, "sallyport rp: "+format+"\n", args...)
	return exitUsage
}

func (r *rpRun) fail(err error) int {
	fmt.Fprintln(r.stderr, "sallyport rp:", printable(err.Error()))
	return exitFailed
}

// certificates reads a PEM file; none for an empty path.
func (r *rpRun) certificates(path string) ([]*x509.Certificate, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no certificate (PEM)", path)
	}
	return list, nil
}

// client fetches what the admin names, who may mean an address inside.
func (r *rpRun) client() (*partner.Client, error) {
	c := &partner.Client{AllowPrivate: true}
	roots, err := r.certificates(r.ca)
	if err != nil {
		return nil, err
	}
	if len(roots) > 0 {
		c.Roots = x509.NewCertPool()
		for _, root := range roots {
			c.Roots.AddCert(root)
		}
	}
	return c, nil
}

func isAddress(s string) bool {
	s = strings.ToLower(s)
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// importAggregate is rp import.
func (r *rpRun) importAggregate(ctx context.Context, rest []string) int {
	switch {
	case len(rest) > 0:
		return r.usage("import takes flags only: name the aggregate with --metadata")
	case r.metadata == "" || r.cert == "" || r.out == "" || len(r.entities) == 0:
		return r.usage("import needs --metadata, --cert, --out and at least one --entity")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	in, err := r.open(ctx)
	if err != nil {
		return r.fail(err)
	}
	defer in.Close()
	now := time.Now()
	i := partner.Importer{Entities: r.entities, Now: now, Progress: r.progress()}
	if i.Certificates, err = r.certificates(r.cert); err != nil {
		return r.fail(err)
	}
	list, err := i.Import(in)
	if err != nil && !errors.Is(err, partner.ErrAbsent) {
		return r.fail(fmt.Errorf("%s: %w", r.metadata, err))
	}
	status := exitGood
	if err != nil {
		status = r.fail(err)
	}
	for _, one := range list {
		path, err := one.Write(r.out, now)
		if err != nil {
			status = r.fail(err)
			continue
		}
		fmt.Fprintf(r.stdout, "%s\n  metadata_file: %s\n  good until %s\n", printable(one.Entity.ID), path, one.Entity.ValidUntil.Format(time.RFC3339))
		for _, w := range one.Entity.Warnings {
			fmt.Fprintln(r.stdout, "  warning:", printable(w))
		}
	}
	fmt.Fprintf(r.stderr, "peak memory of this process: %s\n", peakMemory())
	return status
}

func (r *rpRun) open(ctx context.Context) (io.ReadCloser, error) {
	if !isAddress(r.metadata) {
		return os.Open(r.metadata)
	}
	c, err := r.client()
	if err != nil {
		return nil, err
	}
	return c.Stream(ctx, r.metadata)
}

// progress prints a line for each 10 MB.
func (r *rpRun) progress() func(int64, int) {
	const step = 10_000_000
	next := int64(step)
	return func(read int64, entities int) {
		if read >= next {
			fmt.Fprintf(r.stderr, "%d MB, %d entities\n", read/1_000_000, entities)
			next = read - read%step + step
		}
	}
}

// rpRow is a party as it is printed.
type rpRow struct {
	Key      string    `json:"key"`
	Entity   string    `json:"entity"`
	Metadata string    `json:"metadata"`
	Until    time.Time `json:"valid_until,omitzero"`
	Certs    time.Time `json:"certificates_until,omitzero"`
	Trouble  string    `json:"trouble,omitempty"`
	Warnings []string  `json:"warnings,omitempty"`
}

// list is rp list.
func (r *rpRun) list(context.Context, []string) int {
	cfg, ok := loadFederation(r.env, r.config)
	if !ok {
		return exitFailed
	}
	keeper, err := app.MetadataKeeper(cfg, partner.KeeperConfig{})
	status := exitGood
	if err != nil {
		status = r.fail(err)
	}
	var list []rpRow
	for i := range cfg.RelyingParties {
		rp := &cfg.RelyingParties[i]
		if rp.Protocol != "saml" {
			continue
		}
		l := describe(rp, keeper)
		if l.Trouble != "" {
			status = exitFailed
		}
		list = append(list, l)
	}
	if r.asJSON {
		return max(status, printJSON(r.env, list))
	}
	w := tabwriter.NewWriter(r.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PARTY\tENTITY\tMETADATA\tGOOD UNTIL\tCERTIFICATES UNTIL")
	for _, l := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.Key, printable(l.Entity), printable(l.Metadata), day(l.Until), day(l.Certs))
	}
	if err := w.Flush(); err != nil {
		return exitFailed
	}
	for _, l := range list {
		if l.Trouble != "" {
			fmt.Fprintf(r.stdout, "%s: %s\n", l.Key, printable(l.Trouble))
		}
		for _, warning := range l.Warnings {
			fmt.Fprintf(r.stdout, "%s: warning: %s\n", l.Key, printable(warning))
		}
	}
	return status
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

// describe says how a party is set up, as far as can be seen without the network.
func describe(rp *config.RelyingParty, keeper *partner.Keeper) rpRow {
	l := rpRow{Key: rp.Key, Entity: strings.Join(rp.Identifiers, " "), Metadata: "by hand"}
	certs, err := rp.SAML.RequestCertificates()
	if err != nil {
		l.Trouble = err.Error()
	}
	if rp.UsesMetadata() {
		l.Metadata = rp.MetadataFile + rp.MetadataURL
		e := keeper.Entity(rp.Key)
		switch {
		case e == nil && rp.MetadataURL != "":
			l.Trouble = "there is no good copy of the metadata: the service fetches it"
		case e == nil:
			l.Trouble = "there is no good metadata"
		default:
			l.Until, l.Warnings = e.ValidUntil, e.Warnings
			if len(certs) == 0 {
				certs = e.Signing
			}
		}
	}
	for _, c := range certs {
		if l.Certs.IsZero() || c.NotAfter.After(l.Certs) {
			l.Certs = c.NotAfter
		}
	}
	return l
}
