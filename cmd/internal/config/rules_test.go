package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/cmd/internal/config"
)

// with replaces text in the minimal example.
func with(t *testing.T, pairs ...string) string {
	t.Helper()
	s := string(read(t, "sallyport.minimal.yaml"))
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(s, pairs[i]) {
			t.Fatalf("the example does not hold %q", pairs[i])
		}
		s = strings.Replace(s, pairs[i], pairs[i+1], 1)
	}
	return s
}

const (
	tlsFiles = "  certificate_file: tls/sts.contoso.test.pem\n  key_file: tls/sts.contoso.test.key"
	url      = "https://sts.contoso.test\n"
	store    = "  store: memory"
	redis    = "  store: redis\n  secret_file: s\n  redis:\n    url: "
	party    = "\nrelying_parties:\n  - key: app\n    name: App\n    identifiers: [urn:app]\n    reply_urls: [\"https://app.test/\"]\n"
)

func TestBadValuesAreRefusedWithAdvice(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"http", with(t, url, "http://sts.contoso.test\n"), "public_url: is http, which sends it in the clear: write https://sts.contoso.test"},
		{"path", with(t, url, "https://sts.contoso.test/adfs\n"), "has something behind the host: write https://sts.contoso.test"},
		{"final slash", with(t, url, "https://sts.contoso.test/\n"), "has something behind the host"},
		{"no host", with(t, url, "sts.contoso.test\n"), "is not an https address"},
		{"upper case", with(t, url, "https://STS.contoso.test\n"), "lower case: sts.contoso.test"},
		{"wildcard", with(t, url, "https://*.contoso.test\n"), "wildcard"},
		{"userinfo", with(t, url, "https://a:b@contoso.test\n"), "holds a user"},
		{"port", with(t, url, "https://contoso.test:99999\n"), "not between 1 and 65535"},
		{"listen port alone", with(t, url, url+"listen: 8443\n"), "write a text, in quotes"},
		{"listen name", with(t, url, url+"listen: host.test:443\n"), "is not an IP address of this machine"},
		{"listen without port", with(t, url, url+"listen: 127.0.0.1\n"), "has no port"},
		{"issuer", with(t, url, url+"issuer: sts\n"), "is not an absolute URI"},
		{"two ways of TLS", with(t, tlsFiles, tlsFiles+"\n  generate: true"), "tls: choose one"},
		{"key without certificate", with(t, tlsFiles, "  key_file: k"), "tls.certificate_file: is missing beside key_file"},
		{"plain HTTP to the network", with(t, tlsFiles, "  plain_http: true"), "passwords would cross the network in the clear"},
		{"plain HTTP without a proxy", with(t, tlsFiles, "  plain_http: true", url, url+"listen: 127.0.0.1:8080\n"), "needs the proxy that ends TLS"},
		{"everybody is a proxy", with(t, url, url+"proxy: {trusted: [0.0.0.0/0]}\n"), "is the whole internet"},
		{"everybody is a proxy, IPv6", with(t, url, url+"proxy: {trusted: [\"::/0\"]}\n"), "is the whole internet"},
		{"nobody is a proxy", with(t, url, url+"proxy: {trusted: []}\n"), "proxy.trusted: is an empty list"},
		{"nobody is inside", with(t, url, url+"networks: {inside: []}\n"), "networks.inside: is an empty list"},
		{"one address", with(t, url, url+"networks: {inside: [10.1.2.3]}\n"), "write 10.1.2.3/32"},
		{"bits behind the length", with(t, url, url+"networks: {inside: [10.1.2.3/8]}\n"), "write 10.0.0.0/8"},
		{"mapped", with(t, url, url+"networks: {inside: [\"::ffff:10.0.0.0/104\"]}\n"), "write it as IPv4"},
		{"LDAP in the clear", with(t, "      netbios", "      servers: [ldap://dc1.corp.contoso.test]\n      netbios"), "would send passwords in the clear"},
		{"DC by address", with(t, "      netbios", "      servers: [ldaps://10.1.0.1]\n      netbios"), "put the address into address"},
		{"global catalog in the clear", with(t, "      netbios", "      servers: [\"ldaps://dc1.corp.contoso.test:3268\"]\n      netbios"), "is not an LDAPS port"},
		{"DC's short name", with(t, "      netbios", "      servers: [ldaps://dc1]\n      netbios"), "is not a full DNS name"},
		{"bare service account", with(t, "svc-sallyport@corp.contoso.test", "svc"), "has no domain"},
		{"limits", with(t, "  service_account", "  limits: {bind_max: 65, bind_min: 70, idle: 10m}\n  service_account"), "65 is outside 1 to 64"},
		{"idle above the DC's", with(t, "  service_account", "  limits: {idle: 10m}\n  service_account"), "outside 10s to 4m50s"},
		{"no store", with(t, store, "  idle: 8h"), "has no default: write redis, or memory"},
		{"Redis in the clear", with(t, store, redis+"redis://redis.contoso.test:6379"), "is without TLS to another machine"},
		{"Redis password in the URL", with(t, store, redis+"rediss://u:p@redis.contoso.test:6379"), "a secret is never written in this file"},
		{"Redis without secret", with(t, store, "  store: redis\n  redis: {url: \"rediss://r.test:1\"}"), "sessions.secret_file: is missing"},
		{"generated key for several instances", with(t, living, pair, store, redis+"rediss://r.test:6379"), "several instances would each make a key"},
		{"absolute below idle", with(t, store, store+"\n  idle: 9h"), "is shorter than sessions.idle"},
		{"one file for key and certificate", with(t, living, pair, "keys/signing.crt", "keys/signing.key"), "is the same file as key_file"},
		{"C11 one key for two purposes", with(t, living, pair, "keys/signing.key", "tls/sts.contoso.test.key"), "must not be used for anything else"},
		{"key size", with(t, "  generate: true", "  generate: true\n  key_bits: 1024"), "write 2048, 3072 or 4096"},
		{"threshold not below AD's", with(t, url, url+"lockout: {threshold: 5, lowest_ad_threshold: 5}\n"), "write at most 3, or unsafe: true"},
		{"L01 many instances", with(t, url, url+"lockout: {instances: 101}\n"), "write how many run"},
		{"L01 instances without a shared store", with(t, url, url+"lockout: {instances: 2}\n"), "cannot share sessions in memory"},
		{"two domains with one issuer", with(t, "    - name: contoso.test", "    - {name: contoso.test, issuer: \"urn:x\"}\n    - {name: b.test, issuer: \"urn:x\"}"), "another issuer for each domain"},
		{"domain twice", with(t, "    - name: contoso.test", "    - name: contoso.test\n    - name: CONTOSO.test"), "is listed twice"},
		{"key of the found parties", with(t, url, url+strings.Replace(party, "key: app", "key: mdq", 1)), "relying_parties[0].key: mdq is taken"},
		{"C10 identifier twice", with(t, url, url+party+"  - key: b\n    name: B\n    identifiers: [urn:app]\n    reply_urls: [\"https://b.test/\"]\n"), "already names the party app"},
		{"built-in identifier", with(t, url, url+strings.Replace(party, "urn:app", "urn:federation:MicrosoftOnline", 1)), "the built-in party"},
		{"reply over http", with(t, url, url+strings.Replace(party, "https://app.test/", "http://app.test/", 1)), "is http"},
		{"reply without path", with(t, url, url+strings.Replace(party, "https://app.test/", "https://app.test", 1)), "write https://app.test/ if that is meant"},
		{"reply with wildcard", with(t, url, url+strings.Replace(party, "https://app.test/", "https://*.app.test/", 1)), "wildcard"},
		{"no reply address", with(t, url, url+strings.Replace(party, "    reply_urls: [\"https://app.test/\"]\n", "", 1)), "reply_urls: is missing"},
		{"token too long", with(t, url, url+party+"    token_lifetime: 61m\n"), "is outside 5m to 60m"},
		{"control name", with(t, url, url+"signin_page: {organisation: \"a\\u202eb\"}\n"), "control or direction character"},
		{"long name", with(t, url, url+"signin_page: {organisation: "+strings.Repeat("x", 61)+"}\n"), "at most 60 fit"},
		{"script as link", with(t, url, url+"signin_page: {help_url: \"javascript:alert(1)\"}\n"), "write an https:, mailto: or tel: address"},
		{"pale accent", with(t, url, url+"signin_page: {accent: \"#eeeeee\"}\n"), "the nearest that passes is \"#"},
		{"no colour", with(t, url, url+"signin_page: {accent: red}\n"), "is not a colour"},
		{"language", with(t, url, url+"signin_page: {language: nl-NL}\n"), "did you mean nl?"},
		{"days", with(t, url, url+"sessions: {idle: 1d}\n"), "days are written in hours: 24h"},
		{"no duration", with(t, store, store+"\n  idle: soon"), "is not a duration"},
		{"zero", with(t, store, store+"\n  idle: 0s"), "is not a time"},
		{"size", with(t, url, url+"audit: {rotate_size: 100}\n"), "is not a size"},
		{"boolean", with(t, "generate: true", "generate: yes"), "write true or false, not \"yes\""},
		{"ops on the public address", with(t, url, url+"listen: 127.0.0.1:9464\n"), "is the public listener's address"},
		{"pprof without socket", with(t, url, url+"ops: {pprof: true}\n"), "on the control socket only"},
		{"nobody to sign in for", with(t, "microsoft365:\n  domains:\n    - name: contoso.test\n", ""), "there is nobody to sign in for"},
		{"two documents", with(t) + "---\nlisten: \":1\"\n", "a second document"},
		{"tab", "\tlisten: x\n", "tabs do not indent"},
		{"empty", "", "the file is empty"},
		{"not a mapping", "- a\n", "needs keys below it"},
		{"merge key", "<<: {listen: \":1\"}\n", "unknown key"},
		{"UTF-16", "\xff\xfel\x00i\x00", "1:1: is not a text in UTF-8"},
		{"Latin-1", "listen: x\nissuer: M\xfcller\n", "2:10: is not a text in UTF-8"},
		{"quote left open", "listen: \"x\n", "is not closed"},
		{"text like an alias", "listen: *x\n", "begins with * needs quotes"},
		{"colon in a text", "listen: a: b\n", "contains a colon and a space needs quotes"},
		{"large", strings.Repeat("#\n", 1<<20), "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(problemsOf(t, tt.text), "\n")
			if !strings.Contains(got, tt.want) {
				t.Errorf("problems:\n%s\nwant %q", got, tt.want)
			}
		})
	}
}

func TestNearestKeyAndPlaceOfMisplacedOnes(t *testing.T) {
	for key, want := range map[string]string{
		"public-url": "did you mean public_url?", "isuser": "did you mean issuer?", "listne": "did you mean listen?", "Directory": "did you mean directory?",
		"netbios": "did you mean directory.domains[].netbios?", "control": "did you mean ops.control?", "zzz": "unknown key; the top level knows issuer, public_url",
	} {
		got := strings.Join(problemsOf(t, with(t, url, url+key+": x\n")), "\n")
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", key, got, want)
		}
	}
}

func TestSecretsInTheFileAreRefusedWithoutRepeatingThem(t *testing.T) {
	const secret = "Zk3-canary-9QX"
	for name, text := range map[string]string{
		"service password": with(t, "    password_file: secrets/service-account", "    password: "+secret),
		"session secret":   with(t, store, store+"\n  secret: "+secret),
		"redis password":   with(t, store, "  store: redis\n  secret_file: s\n  redis: {url: \"rediss://r.test:1\", user: u, password: "+secret+"}"),
		"redis URL":        with(t, store, redis+"rediss://u:"+secret+"@r.test:1"),
		"broken redis URL": with(t, store, redis+"\"rediss://u:"+secret+"@%zz\""),
		"signing key":      with(t, living, pair, "  key_file: keys/signing.key", "  private_key: "+secret),
		"variable":         with(t, "    password_file: secrets/service-account", "    password_env: \""+secret+"\""),
		"key in PEM":       with(t, living, pair, "keys/signing.key", "\"-----BEGIN PRIVATE KEY----- "+secret+"\""),
	} {
		got := strings.Join(problemsOf(t, text), "\n")
		if !strings.Contains(got, "secret") && !strings.Contains(got, "file of its own") && name != "broken redis URL" {
			t.Errorf("%s: %s", name, got)
		}
		if strings.Contains(got, secret) {
			t.Errorf("%s: the message repeats the secret: %s", name, got)
		}
	}
}

func TestSectionsOfLaterCapabilitiesAreRefused(t *testing.T) {
	for _, section := range []string{"kerberos"} {
		got := strings.Join(problemsOf(t, with(t, url, url+section+": {on: true}\n")), "\n")
		if !strings.Contains(got, section+": not available in this version") {
			t.Errorf("%s: %s", section, got)
		}
	}
	for _, text := range []string{
		with(t, store, "  store: redis\n  redis: {sentinel: x}"),
	} {
		if got := strings.Join(problemsOf(t, text), "\n"); !strings.Contains(got, "not available in this version") {
			t.Errorf("%s", got)
		}
	}
}

func TestIssuerOfSeveralDomainsIsTheirOwn(t *testing.T) {
	c, err := config.Parse("f", []byte(with(t, "    - name: contoso.test", "    - name: contoso.test\n    - name: Fabrikam.test\n    - {name: e.fabrikam.test, issuer: \"urn:fabrikam:emea\"}")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range c.Microsoft365.Domains {
		got = append(got, d.Name+" "+d.Issuer)
	}
	want := []string{"contoso.test http://contoso.test/adfs/services/trust/", "fabrikam.test http://fabrikam.test/adfs/services/trust/", "e.fabrikam.test urn:fabrikam:emea"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestC09_ShortTokenGetsAWarning(t *testing.T) {
	c, err := config.Parse("f", []byte(with(t, url, url+party+"    token_lifetime: 10m\n")))
	if err != nil {
		t.Fatal(err)
	}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0].String(), "relying_parties[0].token_lifetime") || !strings.Contains(w[0].Message, "loop") || w[0].Line == 0 {
		t.Errorf("warnings %v", w)
	}
}

// A secret written where its place belongs must not be repeated in a message,
// which reaches the log and the audit trail at a reload.
func TestL08_MessagesDoNotRepeatASecret(t *testing.T) {
	const pin, hidden = "4417000912", "quay\u202e4417"
	for _, key := range []string{"password_env", "password_file"} {
		for _, value := range []string{pin, `"` + hidden + `"`} {
			_, err := config.Parse("f", []byte(with(t, "password_file: secrets/service-account", key+": "+value)))
			if err == nil || !strings.Contains(err.Error(), "never the secret itself") || strings.Contains(err.Error(), "4417") {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
}

func TestL01_SeveralInstancesMustSayHowManyTheyAre(t *testing.T) {
	shared, err := os.ReadFile(filepath.Join(deploy, "sallyport.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		string(shared): false,
		strings.Replace(string(shared), "  instances: 2\n", "", 1): true,
	} {
		c, err := config.Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(c.Warnings(), func(p config.Problem) bool { return p.Key == "lockout.instances" })
		if got != want {
			t.Errorf("instances %d: warned %v, want %v", c.Lockout.Instances, got, want)
		}
	}
}

// place makes the files that the minimal example names.
func place(t *testing.T) (dir, conf string) {
	t.Helper()
	dir = t.TempDir()
	for name, mode := range map[string]os.FileMode{"tls/sts.contoso.test.pem": 0o644, "tls/sts.contoso.test.key": 0o600, "secrets/service-account": 0o600} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("secret\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	conf = filepath.Join(dir, "sallyport.yaml")
	if err := os.WriteFile(conf, read(t, "sallyport.minimal.yaml"), 0o640); err != nil {
		t.Fatal(err)
	}
	return dir, conf
}

func TestLoadResolvesPathsAndReadsSecrets(t *testing.T) {
	dir, conf := place(t)
	c, err := config.Load(conf)
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS.KeyFile != filepath.Join(dir, "tls/sts.contoso.test.key") || c.Path != conf {
		t.Errorf("key file %s, path %s", c.TLS.KeyFile, c.Path)
	}
	pw, err := c.Directory.ServiceAccount.Passwords()
	if err != nil || len(pw) != 1 || string(pw[0]) != "secret" {
		t.Errorf("passwords %q %v", pw, err)
	}
	if m, err := c.Sessions.Masters(); m != nil || err != nil {
		t.Errorf("masters without a secret: %v %v", m, err)
	}
}

func TestC01_FilesThatOthersReachAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		file string
		mode os.FileMode
		own  bool
		want string
	}{
		{"secret 0644", "secrets/service-account", 0o644, true, "chmod 0600"},
		{"secret 0640", "secrets/service-account", 0o640, true, "chmod 0600"},
		{"secret of another", "secrets/service-account", 0o600, false, "chown"},
		{"TLS key 0644", "tls/sts.contoso.test.key", 0o644, true, "chmod 0600"},
		{"settings that all write", "sallyport.yaml", 0o666, true, "chmod 0640"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, conf := place(t)
			path := filepath.Join(dir, tt.file)
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			if !tt.own {
				if os.Geteuid() != 0 {
					t.Skip("changing owners needs root")
				}
				if err := os.Chown(path, 12345, 12345); err != nil {
					t.Fatal(err)
				}
			}
			_, err := config.Load(conf)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLoadReportsAllFilesAtOnce(t *testing.T) {
	dir, conf := place(t)
	if err := os.RemoveAll(filepath.Join(dir, "tls")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets/service-account"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(conf)
	if list := config.Problems(err); len(list) != 3 || list[0].Line != 6 || list[1].Line != 7 || !strings.Contains(list[2].Message, "is empty") {
		t.Errorf("problems %v", err)
	}
}

func TestSessionSecretIs32Bytes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	for text, want := range map[string]string{
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n": "",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=":                       "",
		strings.Repeat("00", 32):                                             "one byte repeated",
		"password":                                                           "is not 32 bytes",
		"00010203":                                                           "is not 32 bytes",
		"":                                                                   "is empty",
		strings.Repeat("a", 9000):                                            "more than",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := config.Secret{File: file}.Key()
		if want == "" && (err != nil || len(key) != 32 || key[31] != 31) {
			t.Errorf("%q: %v", text, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "password")) {
			t.Errorf("%.20q: error %v, want %q", text, err, want)
		}
	}
	t.Setenv("SALLYPORT_TEST_SECRET", strings.Repeat("0f1e", 16))
	if key, err := (config.Secret{Env: "SALLYPORT_TEST_SECRET"}).Key(); err != nil || len(key) != 32 {
		t.Errorf("from the environment: %v", err)
	}
	if _, err := (config.Secret{Env: "SALLYPORT_TEST_NOWHERE"}).Key(); err == nil || !strings.Contains(err.Error(), "is not set") {
		t.Errorf("unset variable: %v", err)
	}
}
