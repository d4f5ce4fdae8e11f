package config_test

import (
	"strings"
	"testing"

	"sallyport/cmd/internal/config"
)

func TestAnAgentAloneNeedsNothingOfFederation(t *testing.T) {
	text := string(read(t, "sallyport.agent.yaml"))
	c, err := config.Parse("agent", []byte(text))
	if err != nil || !c.AgentAlone() {
		t.Fatalf("%v", err)
	}
	if got := strings.Join(c.PTASuffixes(), " "); got != "corp.contoso.test contoso.test" {
		t.Errorf("suffixes %q", got)
	}
	for name, tt := range map[string]struct{ add, want string }{
		"a party":          {"relying_parties: [{key: a, name: A, identifiers: [\"urn:a\"], reply_urls: [\"https://a.test/\"]}]\n", "public_url"},
		"a listener":       {"listen: 127.0.0.1:9000\n", "keep only directory, lockout, pta, audit and ops"},
		"a public address": {"public_url: https://sts.contoso.test\n", "tls"},
		"sessions":         {"sessions: {store: memory}\n", "public_url"},
	} {
		if _, err := config.Parse("agent", []byte(text+tt.add)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := config.Parse("agent", []byte(strings.Replace(text, "enabled: true", "enabled: false", 1))); err == nil || !strings.Contains(err.Error(), "public_url") {
		t.Errorf("without an agent: %v", err)
	}
	for _, f := range []string{"sallyport.yaml", "sallyport.minimal.yaml"} {
		if c, err := config.Parse(f, read(t, f)); err != nil || c.AgentAlone() {
			t.Errorf("%s is taken for an agent alone: %v", f, err)
		}
	}
}

func TestPTASettingsThatCannotBeMeant(t *testing.T) {
	text := string(read(t, "sallyport.agent.yaml"))
	for change, want := range map[string]string{
		"cloud: moon":                           "global",
		"domains: [alice@contoso.test]":         "behind the @",
		"proxy_url: https://proxy.test":         "http://HOST:PORT",
		"proxy_url: http://a:b@proxy.test:3128": "proxy_user",
		"proxy_user: a":                         "belong together",
		"concurrent: 10001":                     "between 1 and 10000",
	} {
		if _, err := config.Parse("agent", []byte(strings.Replace(text, "  enabled: true\n", "  enabled: true\n  "+change+"\n", 1))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
}
