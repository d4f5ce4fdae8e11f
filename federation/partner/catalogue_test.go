package partner_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/partner"
	"sallyport/federation/saml"
	"sallyport/federation/token"
)

const (
	basic       = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
	unspecified = "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"
	uri         = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"

	identity = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
)

// stated is what the maker of a party says that it reads of an assertion.
type stated struct {
	// addresses are assertion consumer services as the maker writes them, with example
	// names of ours.
	addresses []string
	// format and name are of the NameID; opaque stands for an identifier that nobody
	// else has.
	format, name string
	// attributes are their names with NameFormat and value, in order.
	attributes []string
	// asks for a password class by default; begins sign-ins here; has a key that must
	// not be used.
	asks, here, never bool
}

const opaque = "opaque"

// makers are facts of the pages that the catalogue names, written down apart from it.
var makers = map[string]stated{
	// AWS: NameID persistent, transient, emailAddress or unspecified (what its metadata
	// says decides); Role is the account's own matter; RoleSessionName has 2 to 64
	// characters of [\w+=,.@-]; regional addresses beside the global one.
	"Amazon Web Services": {
		addresses: []string{"https://signin.aws.amazon.com/saml", "https://eu-central-1.signin.aws.amazon.com/saml/acs/SAMLSP1", "https://signin.amazonaws.cn/saml"},
		format:    saml.FormatUnspecified, name: "alice@contoso.test", here: true,
		attributes: []string{"https://aws.amazon.com/SAML/Attributes/RoleSessionName " + uri + " alice@contoso.test"},
	},
	// Google: NameID is the primary e-mail address, case counts; attributes at most 2 KB.
	"Google Workspace": {
		addresses: []string{"https://www.google.com/a/contoso.test/acs", "https://accounts.google.com/a/contoso.test/acs", "https://accounts.google.com/samlrp/acs?rpid=0abc"},
		format:    saml.FormatEmail, name: "Alice.Archer@contoso.test",
		attributes: []string{identity + "emailaddress " + uri + " Alice.Archer@contoso.test"},
	},
	// Slack: NameID persistent; User.Email required, first_name and last_name optional,
	// all three of NameFormat unspecified.
	"Slack": {
		addresses: []string{"https://contoso.slack.com/sso/saml", "https://contoso.enterprise.slack.com/sso/saml"},
		format:    saml.FormatPersistent, name: opaque,
		attributes: []string{"User.Email " + unspecified + " Alice.Archer@contoso.test", "first_name " + unspecified + " Alice", "last_name " + unspecified + " Archer"},
	},
	// Zoom, rules for AD FS: E-Mail Address, UPN, Given Name, Surname; the e-mail
	// address as Name ID of the format Email.
	"Zoom": {
		addresses: []string{"https://contoso.zoom.us/saml/SSO", "https://contoso.zoomgov.com/saml/SSO"},
		format:    saml.FormatEmail, name: "Alice.Archer@contoso.test",
		attributes: []string{
			identity + "emailaddress " + uri + " Alice.Archer@contoso.test", identity + "upn " + uri + " alice@contoso.test",
			identity + "givenname " + uri + " Alice", identity + "surname " + uri + " Archer",
		},
	},
	// Salesforce, its examples: NameID unspecified, with the user name or the Federation
	// ID; no attribute without provisioning.
	"Salesforce": {
		addresses: []string{"https://contoso.my.salesforce.com?so=00D000000000001", "https://contoso.my.salesforce.com/", "https://contoso.force.com/login"},
		format:    saml.FormatUnspecified, name: "alice@contoso.test",
		attributes: []string{identity + "upn " + uri + " alice@contoso.test"},
	},
	// ServiceNow, rules for AD FS: E-Mail-Addresses as E-Mail Address and as Name ID of
	// the format Email; no token encryption certificate; PasswordProtectedTransport is
	// asked for by default.
	"ServiceNow": {
		addresses: []string{"https://contoso.service-now.com/navpage.do"},
		format:    saml.FormatEmail, name: "Alice.Archer@contoso.test", asks: true, never: true,
		attributes: []string{identity + "emailaddress " + uri + " Alice.Archer@contoso.test"},
	},
	// NetScaler: the reply address ends in /cgi/samlauth; NameID is the UPN.
	"NetScaler Gateway": {
		addresses: []string{"https://gateway.contoso.test/cgi/samlauth"},
		format:    saml.FormatUnspecified, name: "alice@contoso.test",
		attributes: []string{identity + "upn " + uri + " alice@contoso.test"},
	},
	// Atlassian: NameID is the e-mail address; givenname, surname, and name, an id that
	// never changes and is not the address.
	"Atlassian Cloud": {
		addresses: []string{"https://auth.atlassian.com/login/callback?connection=saml-1"},
		format:    saml.FormatEmail, name: "Alice.Archer@contoso.test",
		attributes: []string{identity + "givenname " + uri + " Alice", identity + "surname " + uri + " Archer", identity + "name " + uri + " S-1-5-21-1-2-3-1104"},
	},
	// Zscaler, Microsoft's rule for AD FS: the UPN as Name ID, displayName, department,
	// and memberOf with the names of all groups.
	"Zscaler Internet Access": {
		addresses: []string{"https://login.zscaler.net/sfc_sso", "https://login.zscalertwo.net/sfc_sso"},
		format:    saml.FormatUnspecified, name: "alice@contoso.test",
		attributes: []string{"displayName " + unspecified + " Alice Archer", "department " + unspecified + " Sales", "memberOf " + unspecified + " Staff"},
	},
	// GitHub: any persistent NameID, which people can read; username, full_name and
	// emails are optional; without username the NameID becomes the user name.
	"GitHub Enterprise": {
		addresses: []string{"https://git.contoso.test/saml/consume", "https://github.com/orgs/contoso/saml/consume", "https://contoso.ghe.com/enterprises/contoso/saml/consume"},
		format:    saml.FormatPersistent, name: "alice@contoso.test",
		attributes: []string{"username " + basic + " alice", "full_name " + basic + " Alice Archer", "emails " + basic + " Alice.Archer@contoso.test"},
	},
	// GitLab: NameID persistent; email required, first_name and last_name as its library
	// reads and requests them.
	"GitLab": {
		addresses: []string{"https://gitlab.contoso.test/users/auth/saml/callback", "https://gitlab.com/groups/contoso/-/saml/callback"},
		format:    saml.FormatPersistent, name: opaque,
		attributes: []string{"email " + basic + " Alice.Archer@contoso.test", "first_name " + basic + " Alice", "last_name " + basic + " Archer"},
	},
	// Nextcloud: the attributes for uid, display name and e-mail address are chosen
	// there, the uid is required; NameID unspecified unless chosen.
	"Nextcloud": {
		addresses: []string{"https://cloud.contoso.test/index.php/apps/user_saml/saml/acs", "https://cloud.contoso.test/apps/user_saml/saml/acs"},
		format:    saml.FormatUnspecified, name: "alice@contoso.test",
		attributes: []string{"uid " + basic + " alice", "displayname " + basic + " Alice Archer", "email " + basic + " Alice.Archer@contoso.test"},
	},
	// Jenkins: the NameID is the user name unless an attribute is chosen; the defaults
	// for display name and groups; for AD FS it recommends this e-mail attribute and
	// groups without their domain.
	"Jenkins": {
		addresses: []string{"https://ci.contoso.test/securityRealm/finishLogin", "https://ci.contoso.test/jenkins/securityRealm/finishLogin"},
		format:    saml.FormatUnspecified, name: "alice",
		attributes: []string{identity + "name " + uri + " Alice Archer", identity + "emailaddress " + uri + " Alice.Archer@contoso.test", "http://schemas.xmlsoap.org/claims/Group " + uri + " Staff"},
	},
}

// TestCatalogue puts somebody through the settings that each entry gives, and compares
// what the party would read with what its maker says.
func TestCatalogue(t *testing.T) {
	var names []string
	for _, k := range partner.Catalogue() {
		names = append(names, k.Name)
		t.Run(k.Name, func(t *testing.T) {
			want, ok := makers[k.Name]
			if !ok {
				t.Fatal("nobody says what it needs")
			}
			if day, err := time.Parse(time.DateOnly, k.Read); err != nil || day.After(now.AddDate(1, 0, 0)) || len(k.Sources) == 0 {
				t.Errorf("read on %q from %q", k.Read, k.Sources)
			}
			for _, s := range k.Sources {
				if !strings.HasPrefix(s, "https://") {
					t.Errorf("source %q is no address", s)
				}
			}
			if k.IgnoreContext != want.asks || k.IdPInitiated != want.here || k.NeverEncrypt != want.never {
				t.Errorf("ignoreContext %v, idpInitiated %v, neverEncrypt %v", k.IgnoreContext, k.IdPInitiated, k.NeverEncrypt)
			}
			for _, address := range want.addresses {
				e := read(t, strings.Replace(describe("https://sp.test/", "", "", ""), "https://wiki.fabrikam.test/acs", address, 1))
				if got := partner.Lookup(e); got == nil || got.Name != k.Name {
					t.Errorf("%s leads to %+v", address, got)
					continue
				}
				format, name, attributes := shown(t, &k, e)
				if want.name == opaque && name != "" && !strings.Contains(strings.ToLower(name), "alice") {
					name = opaque
				}
				if format != want.format || name != want.name {
					t.Errorf("NameID %s %q, the maker says %s %q", format, name, want.format, want.name)
				}
				if d := cmp.Diff(want.attributes, attributes); d != "" {
					t.Errorf("attributes (-maker +ours):\n%s", d)
				}
			}
		})
	}
	for name := range makers {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not in the catalogue", name)
		}
	}
	for _, address := range []string{
		"https://evilslack.com/sso/saml", "https://slack.com.evil.test/x", "https://signin.aws.amazon.com.evil.test/saml", "https://wiki.fabrikam.test/saml/consumer",
		"https://gitlab.com.evil.test/x", "https://wiki.fabrikam.test/x?/saml/consume",
	} {
		e := read(t, strings.Replace(describe("https://slack.com", "", "", ""), "https://wiki.fabrikam.test/acs", address, 1))
		if k := partner.Lookup(e); k != nil {
			t.Errorf("%s is taken for %s", address, k.Name)
		}
	}
}

// staff is a directory with one group.
type staff struct{}

func (staff) GroupSID(context.Context, string) (string, error) { return "", errors.New("by name only") }

func (staff) GroupNames(context.Context, string, []string) (map[string]string, error) {
	return map[string]string{"S-1-5-21-1-2-3-513": `CONTOSO\Staff`}, nil
}

// archer signed in a minute ago.
func archer() *federation.Subject {
	id, _ := authn.ParseGUID("00112233-4455-6677-8899-aabbccddeeff")
	return &federation.Subject{
		Account: &authn.Account{
			Domain: "corp.contoso.test", NetBIOS: "CONTOSO", ID: id, SID: "S-1-5-21-1-2-3-1104", UPN: "alice@contoso.test", SAMAccountName: "alice",
			DisplayName: "Alice Archer", GroupsRead: true, Groups: []string{"S-1-5-21-1-2-3-513"},
			Attributes: map[string][]string{"mail": {"Alice.Archer@contoso.test"}, "givenname": {"Alice"}, "sn": {"Archer"}, "department": {"Sales"}},
		},
		Method: authn.MethodPassword, AuthenticatedAt: now.Add(-time.Minute), SessionIndex: "_s",
	}
}

// shown is what the party reads of the assertion that the entry's settings give: the
// NameID, and each attribute with NameFormat and values.
func shown(t *testing.T, k *partner.Known, e *partner.Entity) (format, name string, attributes []string) {
	t.Helper()
	rules := claims.Rules{Claims: k.Claims, NameID: k.NameID, SAML20: true}
	for _, f := range rules.Check() {
		t.Errorf("%s: %s", f.Field, f.Message)
	}
	h := hand(e.ID)
	h.TokenType, h.OwnNames, h.ReplyURLs = federation.SAML20, k.NameID.Attribute != "", []string{e.Consumers[0].URL}
	h.NameIDFormat = map[string]string{"persistent": saml.FormatPersistent, "email": saml.FormatEmail, "unspecified": saml.FormatUnspecified}[k.Format]
	p, err := e.Party(h, partner.Options{Persistent: true, NeverEncrypt: k.NeverEncrypt})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := claims.New(claims.Config{Issuer: "http://sts.contoso.test/adfs/services/trust", Rules: map[string]claims.Rules{p.Key: rules},
		Groups: claims.NewGroupIndex(staff{}, nil, nil), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	sub := archer()
	a, err := engine.For(t.Context(), &federation.SignInRequest{Protocol: "saml", Party: &p.RelyingParty, Realm: e.ID, ReplyTo: p.ReplyURLs[0]}, sub)
	if err != nil {
		t.Fatal(err)
	}
	identifiers, err := saml.NewIdentifiers([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	if err := identifiers.Name(a, p, sub); err != nil {
		t.Fatal(err)
	}
	written, err := token.AppendUnsigned(nil, a)
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(written); err != nil {
		t.Fatal(err)
	}
	id := doc.FindElement("//NameID")
	for _, at := range doc.FindElements("//Attribute") {
		line := at.SelectAttrValue("Name", "") + " " + at.SelectAttrValue("NameFormat", "")
		for _, v := range at.SelectElements("AttributeValue") {
			line += " " + v.Text()
		}
		attributes = append(attributes, line)
	}
	return id.SelectAttrValue("Format", ""), id.Text(), attributes
}
