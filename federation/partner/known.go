package partner

import (
	"net/url"
	"strings"

	"sallyport/federation/claims"
)

// Known is what a well-known service provider needs beyond what its metadata says,
// as its maker documents it.
type Known struct {
	// Name is what people call it.
	Name string
	// Source is where its maker, or else somebody who set it up, says so.
	Source string
	// Hosts are hosts of its assertion consumer services; one that begins with a dot
	// stands for all below it. Path is what the path of such an address ends with, for
	// software that anybody runs under any name. One of the two decides.
	Hosts []string
	Path  string
	// Format is the value of name_id_format; empty leaves it to the metadata.
	Format string
	// Claims are the rules that give it what it reads of a person.
	Claims []claims.Rule
	// IgnoreContext says that it asks for a password class by default although nobody
	// chose one, which keeps people out who signed in without a password (CASES C08).
	IgnoreContext bool
	// NeverEncrypt says that its metadata has a key that must not be encrypted to.
	NeverEncrypt bool
	// Notes tell an admin what else is to be done, one sentence each.
	Notes []string
}

// Lookup returns what is known of the service provider, nil when it is not in the
// catalogue. Its addresses decide, since entity ids are often chosen freely.
func Lookup(e *Entity) *Known {
	for _, k := range Catalogue() {
		for _, c := range e.Consumers {
			if k.at(c.URL) {
				return &k
			}
		}
	}
	return nil
}

func (k *Known) at(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	for _, h := range k.Hosts {
		if host == strings.TrimPrefix(h, ".") || strings.HasPrefix(h, ".") && strings.HasSuffix(host, h) {
			return true
		}
	}
	return k.Path != "" && strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), k.Path)
}

// Catalogue returns the well-known service providers. Names and addresses are those
// of their own documentation; none of them was tried against the real service.
func Catalogue() []Known {
	const basic, unspecified = "basic", "unspecified"
	return []Known{
		{
			Name: "Amazon Web Services", Source: "docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_saml_assertions.html",
			Hosts:  []string{"signin.aws.amazon.com", ".signin.aws.amazon.com"},
			Claims: []claims.Rule{{Type: "https://aws.amazon.com/SAML/Attributes/RoleSessionName", Attribute: "userPrincipalName"}},
			Notes: []string{
				"the role comes from groups: {type: \"https://aws.amazon.com/SAML/Attributes/Role\", groups: [{group: 'DOMAIN\\AWS Admins', value: \"arn:aws:iam::ACCOUNT:role/ROLE,arn:aws:iam::ACCOUNT:saml-provider/NAME\"}]}",
				"IAM Identity Center takes no encrypted assertions: write encrypt: never if its metadata has an encryption key",
			},
		},
		{
			Name: "Google Workspace", Source: "support.google.com/a/answer/6330801",
			Hosts: []string{"www.google.com", "accounts.google.com"}, Format: "email",
			Notes: []string{"the name identifier is the primary e-mail address at Google, letter case included: the attribute mail must hold it"},
		},
		{
			Name: "Slack", Source: "slack.com/help/articles/205168057",
			Hosts: []string{".slack.com"}, Format: "persistent",
			Claims: []claims.Rule{
				{Type: "User.Email", NameFormat: unspecified, Attribute: "mail"},
				{Type: "first_name", NameFormat: unspecified, Attribute: "givenName"},
				{Type: "last_name", NameFormat: unspecified, Attribute: "sn"},
			},
			Notes: []string{"people who have signed in with another identifier before are new ones to Slack: bind their accounts again there"},
		},
		{
			Name: "Zoom", Source: "support.zoom.com KB0062700 (AD FS)",
			Hosts: []string{".zoom.us", ".zoomgov.com"}, Format: "email",
			Claims: []claims.Rule{{Type: "emailaddress", Attribute: "mail"}, {Type: "upn", Attribute: "userPrincipalName"}, {Type: "givenname", Attribute: "givenName"}, {Type: "surname", Attribute: "sn"}},
			Notes:  []string{"the entity id is with or without https:// as it was chosen at Zoom: write the one that its requests have"},
		},
		{
			Name: "Salesforce", Source: "help.salesforce.com, sso_saml_assertion_examples",
			Hosts: []string{".salesforce.com", ".force.com"}, Format: "unspecified",
			Notes: []string{"people are found by the Federation ID of their Salesforce account, which must be the name identifier sent here: the user principal name"},
		},
		{
			Name: "ServiceNow", Source: "www.servicenow.com/docs, t_ConfigureADFSRelyingParty",
			Hosts: []string{".service-now.com", ".servicenowservices.com"}, Format: "email", IgnoreContext: true, NeverEncrypt: true,
			Notes: []string{
				"it names itself in SPNameQualifier by another name in old releases, and the request is refused then as AD FS does: take the qualifier out there",
				"its user field must be the e-mail address, or name_id_format another one",
			},
		},
		{
			Name: "Atlassian Cloud", Source: "docs.pingidentity.com, config_saml_atlassiancloud_pingone",
			Hosts: []string{"auth.atlassian.com"}, Format: "email",
			Claims: []claims.Rule{{Type: "givenname", Attribute: "givenName"}, {Type: "surname", Attribute: "sn"}, {Type: "name", Attribute: "objectSid"}},
			Notes:  []string{"name is an identifier that never changes and is not the e-mail address"},
		},
		{
			Name: "Zscaler Internet Access", Source: "help.zscaler.com; trustelem-doc.wallix.com, Zscaler Cloud",
			Hosts: []string{".zscaler.net", ".zscalerone.net", ".zscalertwo.net", ".zscalerthree.net", ".zscloud.net", ".zscalerbeta.net"}, Format: "unspecified",
			Claims: []claims.Rule{
				{Type: "displayName", NameFormat: unspecified, Attribute: "displayName"},
				{Type: "department", NameFormat: unspecified, Attribute: "department"},
				{Type: "memberOf", NameFormat: unspecified, AllGroups: "name"},
			},
			Notes: []string{"the names of the attributes are chosen at Zscaler: write there displayName, department and memberOf, and NameID as the login name"},
		},
		{
			Name: "GitHub Enterprise", Source: "docs.github.com/enterprise-server, SAML configuration reference",
			Path: "/saml/consume", Format: "persistent",
			Claims: []claims.Rule{
				{Type: "username", NameFormat: basic, Attribute: "sAMAccountName"},
				{Type: "full_name", NameFormat: basic, Attribute: "displayName"},
				{Type: "emails", NameFormat: basic, Attribute: "mail"},
			},
			Notes: []string{"site administrators get {type: administrator, name_format: basic, constant: \"true\", when: {member_of: ['DOMAIN\\GitHub Admins']}}; a person without it loses the role at the next sign-in"},
		},
		{
			Name: "GitLab", Source: "docs.gitlab.com/ee/integration/saml.html",
			Path: "/users/auth/saml/callback", Format: "persistent",
			Claims: []claims.Rule{
				{Type: "email", NameFormat: basic, Attribute: "mail"},
				{Type: "first_name", NameFormat: basic, Attribute: "givenName"},
				{Type: "last_name", NameFormat: basic, Attribute: "sn"},
			},
		},
		{
			Name: "Nextcloud", Source: "nextcloud/user_saml, README.md and lib/SAMLSettings.php",
			Path: "/apps/user_saml/saml/acs", Format: "unspecified",
			Claims: []claims.Rule{
				{Type: "uid", NameFormat: basic, Attribute: "sAMAccountName"},
				{Type: "displayname", NameFormat: basic, Attribute: "displayName"},
				{Type: "email", NameFormat: basic, Attribute: "mail"},
			},
			Notes: []string{"write these names under Attribute mapping there, uid as the UID"},
		},
		{
			Name: "Jenkins", Source: "jenkinsci/saml-plugin, doc/CONFIGURE.md",
			Path: "/securityRealm/finishLogin", Format: "unspecified",
			Claims: []claims.Rule{
				{Type: "username", NameFormat: basic, Attribute: "sAMAccountName"},
				{Type: "displayname", NameFormat: basic, Attribute: "displayName"},
				{Type: "email", NameFormat: basic, Attribute: "mail"},
				{Type: "groups", NameFormat: basic, AllGroups: "name"},
			},
			Notes: []string{"write these names as the plugin's attributes; its Maximum Authentication Lifetime must exceed sessions.absolute"},
		},
	}
}
