package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"sallyport/federation/claims"
)

// RelyingParty is one WS-Federation or SAML 2.0 party.
type RelyingParty struct {
	// Key is a short stable name for metrics and logs: a-z, 0-9 and -. Required.
	Key string `yaml:"key"`
	// Name is what people read on the pages. Required without metadata. Default: the
	// metadata's name in each person's language, else its host.
	Name string `yaml:"name"`
	// Protocol is wsfed or saml. Default wsfed.
	Protocol string `yaml:"protocol"`
	// Identifiers are the exact strings (wtrealm, entityID) that name the party.
	// Required.
	Identifiers []string `yaml:"identifiers"`
	// ReplyURLs are the only addresses that a token is posted to, the first by
	// default. Required for wsfed; SAML parties list theirs under saml.acs.
	ReplyURLs []string `yaml:"reply_urls"`
	// StartURL is where a person can start again. Default: none.
	StartURL string `yaml:"start_url"`
	// TokenType is saml11 or saml20. Default saml11 for wsfed, saml20 for saml.
	TokenType string `yaml:"token_type"`
	// TokenLifetime is how long a token holds, 5m to 60m. Default 60m.
	TokenLifetime time.Duration `yaml:"token_lifetime"`
	// FormActions are the origins that the party passes the browser on to after
	// the post; with them the page's content security policy names exactly these
	// and the reply address. Default: any https address.
	FormActions []string `yaml:"form_actions"`
	// FrameOrigins are the origins whose pages may show the page that posts a finished
	// answer (a token, or a SAML status) in a frame; every page above the frame counts.
	// Each is exact, for example https://app.contoso.test. No page that asks for
	// anything can ever be framed, and across sites browsers send no session to a
	// frame. Default: none, and requests from frames are refused.
	FrameOrigins []string `yaml:"frame_origins"`
	// SingleCertificate says that the party holds one certificate of this service
	// only. The next one is then never promoted by itself: an admin agrees the moment
	// with the party and promotes by hand. Default false.
	SingleCertificate bool `yaml:"single_certificate"`
	// MetadataFrom are the addresses (CIDR) from which the party reads the metadata of
	// this service. A reading from there of the address with ?party=KEY behind it shows
	// that the party holds the certificates that were listed; from elsewhere it shows
	// nothing, since anybody can write that. Default: none, and a change of keys gives
	// the party signing.party_time.
	MetadataFrom []netip.Prefix `yaml:"metadata_from"`
	// SAML is what a party with protocol: saml has of its own. Default: none, for
	// wsfed.
	SAML SAMLParty `yaml:"saml"`
	// MetadataFile holds the SAML 2.0 metadata of the party (sallyport rp add makes
	// these settings of it); a changed file is read again within a minute. It is
	// believed because it is a local file. What is written under saml wins, but
	// addresses can only be chosen among those of the metadata, and what the party
	// signs or wants signed cannot be switched off. Default: none, and saml says it
	// all.
	MetadataFile string `yaml:"metadata_file"`
	// MetadataURL is where the metadata is fetched instead, over https, every 1 to 24
	// hours as its cacheDuration says. While that fails, the copy before stays in
	// force until its validUntil. Default: none.
	MetadataURL string `yaml:"metadata_url"`
	// MetadataCertificateFile holds the certificates (PEM) of which one must have
	// signed the document; their dates do not matter. Required with metadata_url
	// unless metadata_unsigned. Default: the file is believed as it lies there.
	MetadataCertificateFile string `yaml:"metadata_certificate_file"`
	// MetadataSHA256 pins the content of metadata_file (what sha256sum prints).
	// Default: any content.
	MetadataSHA256 string `yaml:"metadata_sha256"`
	// MetadataCAFile holds the roots (PEM), or the very certificate, that the server
	// of metadata_url must have. Default: the system's roots.
	MetadataCAFile string `yaml:"metadata_ca_file"`
	// MetadataUnsigned believes whatever the server of metadata_url answers: better
	// with metadata_ca_file. Default false.
	MetadataUnsigned bool `yaml:"metadata_unsigned"`
	// MetadataPrivate lets metadata_url lead to an address inside (10.0.0.0/8 and the
	// like), and sign-outs by SOAP to one that the metadata names. Default false.
	MetadataPrivate bool `yaml:"metadata_private"`
	// Preset gives the claims that a well-known party needs: sharepoint, exchange or
	// dynamics. Rules in claims come on top. Default: none.
	Preset string `yaml:"preset"`
	// Claims are rules for what the party is told about a person. Default: UPN, name
	// (DOMAIN\name) and primary SID, unless there is a preset.
	Claims []ClaimRule `yaml:"claims"`
	// NameID is what names the person in the token (NameIdentifier, NameID). Default:
	// the user principal name.
	NameID NameID `yaml:"name_id"`
	// Access is who may sign in there. Default: everybody.
	Access Access `yaml:"access"`
	// MaxGroups is the most groups that one claim may name; a person with more gets
	// no token, and the audit record says why. Default 200.
	MaxGroups int `yaml:"max_groups"`
}

// NameID is the source of a token's name identifier.
type NameID struct {
	// Attribute is an attribute that is one person's alone: userPrincipalName,
	// sAMAccountName, windowsAccountName, mail, mailNickname, employeeID, employeeNumber,
	// uid, uidNumber, objectGUID, objectSid, mS-DS-ConsistencyGuid, an
	// extensionAttribute, or one of directory.claim_attributes. Whoever has no value in
	// it, or several, gets no token. SAML 2.0 parties get it in the formats unspecified,
	// email and persistent. Default: userPrincipalName, and for SAML 2.0 what
	// saml.name_id_format says.
	Attribute string `yaml:"attribute"`
	// Case turns the value into lower or upper case. Default: as it is.
	Case string `yaml:"case"`
}

// ClaimRule is one claim of a party: a type and exactly one source of its values
// (attribute, constant, groups or all_groups). Rules of one type fill one claim
// with several values.
type ClaimRule struct {
	// Type is the claim's URI, or a short name of a usual one: upn, name,
	// emailaddress, givenname, surname, role, group, groupsid, primarysid,
	// windowsaccountname, commonname, streetaddress, locality, postalcode, country or
	// mobilephone. Claims that say how somebody signed in cannot be given by rules.
	// Required.
	Type string `yaml:"type"`
	// NameFormat is basic or unspecified, for a SAML 2.0 token whose party knows an
	// attribute by a plain name: type is then that name. Default: type is a URI, such
	// as urn:oid:2.5.4.42 in SAML 2.0.
	NameFormat string `yaml:"name_format"`
	// Attribute is an attribute of the account whose values the claim gets; a wrong
	// name is answered with the names that there are. windowsAccountName is
	// NETBIOS\sAMAccountName. Default: none.
	Attribute string `yaml:"attribute"`
	// Constant is a value that everybody gets. Not for claims that name the person.
	// Default: none.
	Constant string `yaml:"constant"`
	// Groups give a value to the members of a group, nested members included.
	// Empty: no groups.
	Groups []GroupValue `yaml:"groups"`
	// AllGroups gives all security groups of the person, nested ones included: name
	// (without the domain), qualified_name (DOMAIN\name) or sid. A group without a
	// name in the configured domains is told by its SID. Default: none.
	AllGroups string `yaml:"all_groups"`
	// Match keeps those of all_groups whose name fits one of the patterns, in which *
	// stands for any text; a pattern with a \ is compared with DOMAIN\name. Default:
	// all.
	Match []string `yaml:"match"`
	// Case turns the values into lower or upper case. Default: as they are.
	Case string `yaml:"case"`
	// When restricts the rule. Default: it holds for everybody.
	When When `yaml:"when"`
}

// GroupValue is a group and the value for its members: in the file a group alone,
// or group and value.
type GroupValue struct {
	// Group is 'DOMAIN\name' in single quotes, or a SID. Required.
	Group string `yaml:"group"`
	// Value is what its members get. Default: the group's name without the domain;
	// required with a SID.
	Value string `yaml:"value"`
}

// When is a condition of a rule; all that is written must hold.
type When struct {
	// MemberOf wants the person in one of these groups. Default: any.
	MemberOf []string `yaml:"member_of"`
	// NotMemberOf wants the person in none of these groups. While one of them does
	// not exist the rule gives nothing. Default: any.
	NotMemberOf []string `yaml:"not_member_of"`
	// Attribute must have one of the values of equals. Default: none is compared.
	Attribute string `yaml:"attribute"`
	// Equals are the values, compared without regard to case. Required with
	// attribute.
	Equals []string `yaml:"equals"`
	// Network is inside or outside, see networks. Default: both.
	Network string `yaml:"network"`
}

// Access is who may sign in at a party.
type Access struct {
	// AllowGroups are groups ('DOMAIN\name' or SID) of which a person must be in
	// one, nested membership included. Default: everybody may.
	AllowGroups []string `yaml:"allow_groups"`
	// DenyGroups are groups whose members may not, whatever allow_groups says. While
	// one of them does not exist nobody may: nobody could tell who is meant. Default:
	// none.
	DenyGroups []string `yaml:"deny_groups"`
}

var groupValueType = reflect.TypeFor[GroupValue]()

// Rules returns a party's rules, those of its preset first.
func (c *Config) Rules(rp *RelyingParty) claims.Rules {
	r := c.WrittenRules(rp)
	r.Claims = append(claims.Preset(rp.Preset), r.Claims...)
	return r
}

// WrittenRules returns the rules that stand in the file.
func (c *Config) WrittenRules(rp *RelyingParty) claims.Rules {
	var list []claims.Rule
	for _, r := range rp.Claims {
		rule := claims.Rule{
			Type: r.Type, NameFormat: r.NameFormat, Attribute: r.Attribute, Constant: r.Constant, AllGroups: r.AllGroups, Match: r.Match, Case: r.Case, When: claims.When(r.When),
		}
		for _, g := range r.Groups {
			rule.Groups = append(rule.Groups, claims.GroupValue(g))
		}
		list = append(list, rule)
	}
	return claims.Rules{
		NameID: claims.NameID(rp.NameID), Claims: list, AllowGroups: rp.Access.AllowGroups, DenyGroups: rp.Access.DenyGroups, MaxGroups: rp.MaxGroups,
		Attributes: c.Directory.ClaimAttributes, SAML20: rp.TokenType == "saml20",
	}
}

// validateRules checks what a party says of claims and access.
func (c *Config) validateRules(p *problems, key string, rp *RelyingParty) {
	if rp.Preset != "" {
		choice(p, key+".preset", rp.Preset, claims.PresetNames())
	}
	written := c.WrittenRules(rp)
	for _, f := range written.Check() {
		msg := f.Message
		if near := nearest(f.Value, f.Known); f.Value != "" && near != "" {
			msg = fmt.Sprintf("%s is not known; did you mean %s?", quote(f.Value), near)
			for _, k := range f.Known {
				if strings.EqualFold(k, f.Value) {
					msg = "write it as " + k
				}
			}
		}
		p.add(key+"."+f.Field, "%s", msg)
	}
	if _, ok := p.at[key+".max_groups"]; ok && rp.MaxGroups == 0 {
		p.add(key+".max_groups", "0 groups are none: write how many a claim may name, or take the line out for %d", claims.DefaultMaxGroups)
	}
	for _, field := range written.NamedGroups() {
		domain, _, _ := strings.Cut(field.Value, `\`)
		if !c.hasDomain(domain) {
			p.add(key+"."+field.Field, "%s is in no configured domain: %s", quote(field.Value), c.domainsInWords())
		}
	}
}

func (c *Config) hasDomain(netbios string) bool {
	for _, d := range c.Directory.Domains {
		if strings.EqualFold(d.NetBIOS, netbios) {
			return true
		}
	}
	return strings.EqualFold(netbios, "BUILTIN")
}

func (c *Config) domainsInWords() string {
	var names []string
	for _, d := range c.Directory.Domains {
		names = append(names, d.NetBIOS+`\…`)
	}
	return "write " + strings.Join(append(names, "a SID"), " or ")
}

// warnings names rules that decide by what people may write of themselves.
func (rp *RelyingParty) warnings(p *problems, key string) {
	const advice = "%s: people may write it of their own account where the directory has its default permissions; decide by groups, or by an attribute that only administrators write"
	for i, r := range rp.Claims {
		rule := at(key+".claims", i)
		if claims.SelfWritten(r.When.Attribute) {
			p.add(rule+".when.attribute", advice, r.When.Attribute)
		}
		uri, problem := claims.TypeURI(r.Type)
		if problem != "" {
			uri = r.Type
		}
		if claims.SelfWritten(r.Attribute) && claims.Decides(uri) {
			p.add(rule+".attribute", advice, r.Attribute)
		}
	}
}
