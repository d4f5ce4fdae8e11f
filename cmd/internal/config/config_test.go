package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/cmd/internal/config"
)

const deploy = "../../../deploy"

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestShippedExamplesAreValid(t *testing.T) {
	for _, name := range []string{"sallyport.yaml", "sallyport.minimal.yaml", "sallyport.agent.yaml"} {
		if _, err := config.Parse(name, read(t, name)); err != nil {
			t.Errorf("%v", err)
		}
	}
	if n := strings.Count(string(read(t, "sallyport.minimal.yaml")), "\n"); n >= 30 {
		t.Errorf("the minimal example has %d lines, want fewer than 30", n)
	}
}

func TestMinimalFileGetsTheDocumentedDefaults(t *testing.T) {
	c, err := config.Parse("minimal", read(t, "sallyport.minimal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, got, want any }{
		{"issuer", c.Issuer, "http://sts.contoso.test/adfs/services/trust"},
		{"listen", c.Listen, ":8443"},
		{"domain issuer", c.Microsoft365.Domains[0].Issuer, "http://sts.contoso.test/adfs/services/trust"},
		{"anchor", c.Microsoft365.Domains[0].Anchor, "consistency-guid"},
		{"default domain", c.Directory.DefaultDomain, "corp.contoso.test"},
		{"bind_max", c.Directory.Limits.BindMax, 16},
		{"idle", c.Sessions.Idle, 8 * time.Hour},
		{"organisation", c.SigninPage.Organisation, "sts.contoso.test"},
		{"audit to stdout", c.Audit.Stdout, true},
		{"ops", c.Ops.Listen, "127.0.0.1:9464"},
		{"lockout is derived", c.Lockout, config.Lockout{}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.name, diff)
		}
	}
}

// problemsOf parses text and returns each problem as a line.
func problemsOf(t *testing.T, text string) []string {
	t.Helper()
	_, err := config.Parse("f", []byte(text))
	var e *config.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("error is %T, want *config.Error", err)
	}
	var lines []string
	for _, p := range config.Problems(err) {
		lines = append(lines, p.String())
	}
	return lines
}

func TestAllProblemsAtOnceWithPlaceAndAdvice(t *testing.T) {
	text := strings.Replace(string(read(t, "sallyport.minimal.yaml")), "public_url: https://sts.contoso.test", "public_ulr: https://sts.contoso.test", 1)
	text = strings.Replace(text, "store: memory", "store: memroy\n  idle: 8", 1)
	text = strings.Replace(text, "netbios: CONTOSO", "netbios: [CONTOSO]\n      netbios: CORP", 1)
	got := problemsOf(t, text)
	want := []string{
		"3:1: public_ulr: unknown key; did you mean public_url?",
		"16:16: directory.domains[0].netbios: needs a text, not a list",
		"17:7: directory.domains[0].netbios: is written twice (first in line 16): keep one of the two",
		"24:3: sessions.store: \"memroy\" is not known; did you mean memory?",
		"25:9: sessions.idle: \"8\" has no unit: write 8s, 8m or 8h",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
