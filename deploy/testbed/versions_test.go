package testbed_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/deploy/testbed/lab"
)

// TestInteroperabilityTableIsCurrent holds README's table to the versions of the
// software that is installed here and that the tests of this package went through.
func TestInteroperabilityTableIsCurrent(t *testing.T) {
	l := lab.Require(t)
	have := map[string]string{
		"Apache mod_auth_mellon": debian(t, "libapache2-mod-auth-mellon"),
		"Shibboleth SP":          debian(t, "libapache2-mod-shib"),
		"SimpleSAMLphp as SP":    debian(t, "simplesamlphp"),
		"pysaml2 as SP":          debian(t, "python3-pysaml2"),
		"passport-wsfed-saml2":   npm(t, l, "passport-wsfed-saml2"),
		"MSAL for Python":        match(t, "msal/python/requirements.txt", `(?m)^msal==(\S+)$`),
		"MSAL for Java":          match(t, "msal/java/pom.xml", `<artifactId>msal4j</artifactId>\s*<version>([^<]+)<`),
		"MSAL for .NET":          match(t, "msal/dotnet/requirements.txt", `MSAL for \.NET (\S+)`),
		"MSAL for Go":            match(t, "msal/go/go.mod", `microsoft-authentication-library-for-go v(\S+)`),
		"xmlsec1":                debian(t, "xmlsec1"),
	}
	raw, err := os.ReadFile(filepath.Join(repo, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(raw), "## Interoperability\n")
	section, _, _ = strings.Cut(section, "\n## ")
	says := map[string]string{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && !strings.Contains(line, "---") {
			says[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	delete(says, "Software")
	for name, version := range have {
		if says[name] != version {
			t.Errorf("README says %s %q, and %q is what the tests met", name, says[name], version)
		}
	}
	for name := range says {
		if have[name] == "" {
			t.Errorf("README names %s, which nothing here checks", name)
		}
	}
}

// debian returns the upstream version of an installed package.
func debian(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", name).Output()
	if err != nil {
		t.Fatalf("%s is not installed: %v", name, err)
	}
	version := string(out)
	if _, rest, epoch := strings.Cut(version, ":"); epoch {
		version = rest
	}
	version, _, _ = strings.Cut(version, "-")
	version, _, _ = strings.Cut(version, "+")
	return version
}

func npm(t *testing.T, l *lab.Lab, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(l.NodeDir, "node_modules", name, "package.json"))
	var p struct{ Version string }
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.Version
}

func match(t *testing.T, file, pattern string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(raw)
	if found == nil {
		t.Fatalf("%s: nothing like %s", file, pattern)
	}
	return string(found[1])
}
