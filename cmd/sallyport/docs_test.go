package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/authn/redisstore"
	"sallyport/cmd/internal/config"
	"sallyport/federation/claims"
)

func doc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../deploy/docs", name))
	must(t, err)
	return string(b)
}

func TestRedisPageShowsTheLeastRights(t *testing.T) {
	if acl := redisstore.ACLFor("sallyport:", false, false); !strings.Contains(doc(t, "redis.md"), acl) || !strings.Contains(doc(t, "redis.md"), "ACL SETUSER sallyport "+redisstore.DocumentCommands) {
		t.Errorf("deploy/docs/redis.md does not show %q", acl)
	}
}

func TestAuditPageNamesEveryCode(t *testing.T) {
	src, err := os.ReadFile("../../authn/audit/audit.go")
	must(t, err)
	page := doc(t, "audit.md")
	for _, code := range regexp.MustCompile(`"(SP\d{3})"`).FindAllStringSubmatch(string(src), -1) {
		if !strings.Contains(page, code[1]) {
			t.Errorf("deploy/docs/audit.md does not explain %s", code[1])
		}
	}
}

func TestPagesNameOnlyCommandsThatExist(t *testing.T) {
	names, err := filepath.Glob("../../deploy/docs/*.md")
	must(t, err)
	known := map[string]bool{}
	for _, c := range commands() {
		known[c.name] = true
	}
	for _, n := range append(names, "../../deploy/sallyport.yaml", "../../deploy/sallyport.minimal.yaml") {
		b, err := os.ReadFile(n)
		must(t, err)
		for _, m := range regexp.MustCompile("(?m)(?:`|^ +|bin/|sallyport )sallyport ([a-z]+)").FindAllStringSubmatch(string(b), -1) {
			if !known[m[1]] {
				t.Errorf("%s: there is no command %q", n, m[1])
			}
		}
	}
}

func TestPageOnPartiesShowsSettingsThatAreGood(t *testing.T) {
	minimal, err := os.ReadFile("../../deploy/sallyport.minimal.yaml")
	must(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(doc(t, "parties.md"), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d examples", len(blocks))
	}
	for i, b := range blocks {
		if _, err := config.Parse("example", append(minimal[:len(minimal):len(minimal)], b[1]...)); err != nil {
			t.Errorf("example %d: %v", i+1, err)
		}
	}
	for _, n := range append(claims.TypeNames(), claims.PresetNames()...) {
		if !strings.Contains(doc(t, "parties.md"), n) {
			t.Errorf("deploy/docs/parties.md does not name %s", n)
		}
	}
}
