package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"sallyport/federation"
	"sallyport/federation/claims"
	"sallyport/federation/partner"
	"sallyport/federation/saml"
)

// add is rp add: it prints settings and warnings, and changes nothing. It fails for
// metadata that the service would not take.
func (r *rpRun) add(ctx context.Context, rest []string) int {
	if len(rest) != 1 || len(r.entities) > 1 {
		return r.usage("add needs the metadata, a file or an https address, and takes one --entity")
	}
	e, err := r.entity(ctx, rest[0])
	if err != nil {
		return r.fail(fmt.Errorf("%s: %w", rest[0], err))
	}
	s := suggestion{entity: e, known: partner.Lookup(e), source: rest[0], cert: r.cert, ca: r.ca, key: r.key}
	if err := s.judge(); err != nil {
		return r.fail(fmt.Errorf("%s: %w", rest[0], err))
	}
	s.print()
	fmt.Fprint(r.stdout, s.out.String())
	for _, w := range s.warnings {
		fmt.Fprintln(r.stderr, "warning:", printable(w))
	}
	return exitGood
}

// suggestion is what add prints.
type suggestion struct {
	entity                *partner.Entity
	known                 *partner.Known
	source, cert, ca, key string

	never    bool // do not encrypt
	out      strings.Builder
	warnings []string
}

func (s *suggestion) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// judge tries the entity out as the service would, and collects warnings.
func (s *suggestion) judge() error {
	e := s.entity
	s.warnings = append(s.warnings, e.Warnings...)
	s.never = s.known != nil && s.known.NeverEncrypt
	if e.Encryption == nil && e.Unencryptable != "" {
		s.never = true
		s.warn("assertions cannot be encrypted to the party: %s; the settings say encrypt: never, so that only TLS protects them: better ask the party for AES-GCM and RSA-OAEP", e.Unencryptable)
	}
	p, err := e.Party(&saml.Party{RelyingParty: federation.RelyingParty{Key: "new", Name: "New", Identifiers: []string{e.ID}}},
		partner.Options{Persistent: true, NeverEncrypt: s.never})
	if err != nil {
		return err
	}
	if _, err := saml.NewRegistry(p); err != nil {
		return err
	}
	for _, f := range e.Formats {
		if !slices.Contains([]string{saml.FormatUnspecified, saml.FormatEmail, saml.FormatWindows, saml.FormatPersistent, saml.FormatTransient}, f) {
			s.warn("the name identifier format %.100q is not offered", f)
		}
	}
	if until := e.ValidUntil; !until.IsZero() && time.Until(until) < 30*24*time.Hour {
		s.warn("the metadata ends on %s; a file is not renewed by itself", until.Format(time.DateOnly))
	}
	if !isAddress(s.source) {
		return nil
	}
	if s.cert == "" {
		s.warn("nothing proves this document but the connection: get the certificate that signs the metadata from the party, and call this again with --cert")
	}
	return nil
}

// print writes the settings.
func (s *suggestion) print() {
	e := s.entity
	name := s.name()
	s.line("# Under relying_parties:")
	if s.known != nil {
		s.line("# %s is in the catalogue of this service, as of %s from:", s.known.Name, s.known.Read)
		for _, source := range s.known.Sources {
			s.line("#   %s", source)
		}
		for _, n := range s.known.Notes {
			s.line("# - %s", clean(n))
		}
	}
	s.line("  - key: %s", s.partyKey(name))
	if s.known == nil && s.entity.Name != "" {
		s.line("    # name: on the pages it is called as the metadata says: %s", s.names())
	} else {
		s.line("    name: %s", quoted(name))
	}
	s.line("    protocol: saml")
	s.line("    identifiers: [%s]", quoted(e.ID))
	s.location()
	s.facts()
	s.settings()
	s.rules()
	s.nameID()
	s.line("    # Who may sign in there; without it everybody may.")
	s.line("    # access: {allow_groups: ['DOMAIN\\Group']}")
	s.line("    # token_lifetime: 60m")
}

// nameID writes what names a person there.
func (s *suggestion) nameID() {
	if s.known != nil && s.known.NameID.Attribute != "" {
		s.line("    name_id: {attribute: %s}    # what names a person there", s.known.NameID.Attribute)
		return
	}
	s.line("    # What names a person there; without it the user principal name.")
	s.line("    # name_id: {attribute: sAMAccountName, case: lower}")
}

func (s *suggestion) line(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *suggestion) name() string {
	name := s.entity.Name
	if s.known != nil {
		name = s.known.Name
	}
	if name == "" {
		name = s.entity.Host()
	}
	if r := []rune(clean(name)); len(r) > 60 {
		return string(r[:60])
	}
	return clean(name)
}

// names lists what the party is called, by language.
func (s *suggestion) names() string {
	list := []string{quoted(clean(s.entity.Name))}
	for _, language := range slices.Sorted(maps.Keys(s.entity.Names)) {
		if name := s.entity.Names[language]; name != s.entity.Name {
			list = append(list, quoted(clean(name))+" ("+language+")")
		}
	}
	return strings.Join(list, ", ")
}

var notInKeys = regexp.MustCompile(`[^a-z0-9]+`)

func (s *suggestion) partyKey(name string) string {
	if s.key != "" {
		return s.key
	}
	name = strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(name), "https://"), "http://")
	key := strings.Trim(notInKeys.ReplaceAllString(name, "-"), "-")
	if key = strings.Trim(key[:min(len(key), 40)], "-"); key == "" {
		return "party"
	}
	return key
}

// location says where the metadata is and why it is believed.
func (s *suggestion) location() {
	abs := func(path string) string {
		if p, err := filepath.Abs(path); err == nil {
			return p
		}
		return path
	}
	if !isAddress(s.source) {
		s.line("    metadata_file: %s", quoted(abs(s.source)))
		if s.cert != "" {
			s.line("    metadata_certificate_file: %s", quoted(abs(s.cert)))
		}
		return
	}
	s.line("    metadata_url: %s", quoted(s.source))
	s.line("    # The last good copy lies in saml.metadata_dir.")
	if s.cert != "" {
		s.line("    metadata_certificate_file: %s", quoted(abs(s.cert)))
	} else {
		s.line("    metadata_unsigned: true    # better: metadata_certificate_file: FILE")
	}
	if s.ca != "" {
		s.line("    metadata_ca_file: %s", quoted(abs(s.ca)))
	}
}

// facts repeats in comments what the metadata says.
func (s *suggestion) facts() {
	e := s.entity
	s.line("    # What the metadata says:")
	for _, c := range e.Consumers {
		mark := ""
		if c.Default {
			mark = ", default"
		}
		s.line("    #   answers to %s (%d, %s%s)", clean(c.URL), c.Index, binding(c.Binding), mark)
	}
	for _, l := range e.Logout {
		s.line("    #   sign-outs to %s (%s)", clean(l.URL), binding(l.Binding))
	}
	for _, c := range e.Signing {
		s.line("    #   signs with %s, until %s", clean(c.Subject.String()), c.NotAfter.UTC().Format(time.DateOnly))
	}
	if e.SignsRequests {
		s.line("    #   requests without a signature are refused")
	}
	if e.Encryption != nil && !s.never {
		s.line("    #   assertions are encrypted to %s", clean(e.Encryption.Certificate.Subject.String()))
	}
	if !e.ValidUntil.IsZero() {
		s.line("    #   it ends on %s", e.ValidUntil.Format(time.DateOnly))
	}
	for _, c := range e.Contacts {
		s.line("    #   contact: %s", clean(c))
	}
}

func binding(uri string) string {
	if i := strings.LastIndexByte(uri, ':'); i >= 0 {
		uri = uri[i+1:]
	}
	return clean(uri)
}

var formatNames = map[string]string{
	saml.FormatUnspecified: "unspecified", saml.FormatEmail: "email", saml.FormatWindows: "windows",
	saml.FormatPersistent: "persistent", saml.FormatTransient: "transient",
}

// settings writes the section saml.
func (s *suggestion) settings() {
	format, why := formatNames[s.entity.Format(true)], "the first of the metadata that can be given"
	if len(s.entity.Formats) == 0 {
		why = "the metadata names none"
	}
	if s.known != nil && s.known.Format != "" {
		format, why = s.known.Format, "what "+s.known.Name+" wants"
	}
	s.line("    saml:")
	s.line("      name_id_format: %s    # %s", format, clean(why))
	if format == "persistent" && (s.known == nil || s.known.NameID.Attribute == "") {
		s.line("      # needs saml.persistent_id_secret_file")
	}
	if s.never {
		s.line("      encrypt: never")
	}
	if s.known != nil && s.known.IgnoreContext {
		s.line("      ignore_context: true    # it asks for a password class by default")
	} else {
		s.line("      # ignore_context: true, when it asks for a class of sign-in that nobody chose")
	}
	if s.known != nil && s.known.IdPInitiated {
		s.line("      idp_initiated: true    # it sends no requests")
	} else {
		s.line("      # idp_initiated: true, to begin sign-ins here")
	}
	s.line("      # To use only some of the addresses above: acs: [{url: ADDRESS}]")
}

// rules writes the claims: those of the catalogue, else what the metadata asks for.
func (s *suggestion) rules() {
	if s.known != nil && len(s.known.Claims) > 0 {
		s.line("    claims:")
		for _, r := range s.known.Claims {
			s.line("      - %s", ruleLine(r))
		}
		return
	}
	var asked, unknown []string
	for _, a := range s.entity.Attributes {
		if r, ok := requested(a); ok {
			asked = append(asked, "      - "+ruleLine(r))
			continue
		}
		name := clean(a.Name)
		if a.FriendlyName != "" {
			name += " (" + clean(a.FriendlyName) + ")"
		}
		unknown = append(unknown, name)
	}
	if len(asked) > 0 {
		s.line("    claims:    # what the metadata asks for")
		for _, l := range asked {
			s.line("%s", l)
		}
	} else {
		s.line("    # claims: [{type: emailaddress, attribute: mail}]")
	}
	for _, name := range unknown {
		s.line("    #   it also asks for %s: write a rule for it, or ask what it is for", name)
	}
}

func ruleLine(r claims.Rule) string {
	parts := []string{"type: " + quoted(r.Type)}
	if r.NameFormat != "" {
		parts = append(parts, "name_format: "+r.NameFormat)
	}
	if r.Attribute != "" {
		parts = append(parts, "attribute: "+r.Attribute)
	}
	if r.AllGroups != "" {
		parts = append(parts, "all_groups: "+r.AllGroups)
	}
	if r.Case != "" {
		parts = append(parts, "case: "+r.Case)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// usual are attributes by the names that federations use (RFC 4519, eduPerson).
var usual = map[string]string{
	"urn:oid:0.9.2342.19200300.100.1.3": "mail", "urn:oid:0.9.2342.19200300.100.1.1": "sAMAccountName", "urn:oid:2.5.4.42": "givenName",
	"urn:oid:2.5.4.4": "sn", "urn:oid:2.5.4.3": "cn", "urn:oid:2.16.840.1.113730.3.1.241": "displayName", "urn:oid:1.3.6.1.4.1.5923.1.1.1.6": "userPrincipalName",
	"mail": "mail", "email": "mail", "givenname": "givenName", "sn": "sn", "surname": "sn", "displayname": "displayName", "uid": "sAMAccountName",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress": "mail",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname":    "givenName",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname":      "sn",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn":          "userPrincipalName",
}

// requested makes a rule for an attribute whose name is a usual one.
func requested(a partner.Attribute) (claims.Rule, bool) {
	attribute, ok := usual[strings.ToLower(a.Name)]
	if !ok {
		return claims.Rule{}, false
	}
	r := claims.Rule{Type: a.Name, Attribute: attribute}
	switch {
	case strings.HasSuffix(a.NameFormat, ":basic"):
		r.NameFormat = "basic"
	case !strings.Contains(a.Name, ":"):
		r.NameFormat = "unspecified"
	}
	return r, true
}

// quoted writes a text as YAML reads it back; JSON is YAML.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

// clean makes foreign text fit for one line of a comment on a terminal.
func clean(s string) string { return printable(strings.Join(strings.Fields(s), " ")) }
