package claims

import (
	"fmt"
	"strings"
	"unicode"
)

// DefaultMaxGroups is how many groups a claim may name where the settings say
// nothing: a token with more rarely fits through what stands before a party.
const DefaultMaxGroups = 200

// HighestMaxGroups is the most that may be set: an access token of Windows holds
// no more.
const HighestMaxGroups = 1015

// Rules is what the settings say of one party: which claims it gets, and who may
// sign in there. The zero value gives everybody the fixed set.
type Rules struct {
	// NameID is what names the person in the token.
	NameID NameID
	// Claims are applied in their order. Empty: UPN, name and primary SID.
	Claims []Rule
	// AllowGroups are the groups of which a person must be in one; empty means
	// everybody. DenyGroups shut their members out whatever AllowGroups says.
	AllowGroups, DenyGroups []string
	// MaxGroups is the most values that a claim may have from groups; zero means
	// [DefaultMaxGroups]. Who has more gets no token.
	MaxGroups int
	// Attributes may be named besides [AttributeNames]: those of a schema extension.
	// One that [ExtraAttribute] refuses does not count.
	Attributes []string
	// SAML20 says that the party's tokens are SAML 2.0, where a claim's name needs no
	// namespace.
	SAML20 bool
}

// Rule gives one claim. Exactly one of Attribute, Constant, Groups and AllGroups
// is set.
type Rule struct {
	// Type is the claim's URI or one of the short names of [TypeNames]; with a
	// NameFormat any name.
	Type string
	// NameFormat is basic or unspecified where a SAML 2.0 party knows an attribute by
	// a plain name. Empty: a URI.
	NameFormat string
	// Attribute is an attribute of the account; each of its values becomes a value.
	Attribute string
	// Constant is a value that everybody gets.
	Constant string
	// Groups give a value to the members of a group.
	Groups []GroupValue
	// AllGroups gives all groups of the person: name, qualified_name or sid.
	AllGroups string
	// Match keeps those of AllGroups whose name fits one of the patterns, in which *
	// stands for any text.
	Match []string
	// Case turns the values into lower or upper case.
	Case string
	// When restricts the rule to some people.
	When When
}

// GroupValue is a group, NETBIOS\name or a SID, and the value for its members. An
// empty value is the group's name.
type GroupValue struct{ Group, Value string }

// When is a condition. All that is set must hold.
type When struct {
	// MemberOf wants one of these groups, NotMemberOf none of these.
	MemberOf, NotMemberOf []string
	// Attribute must have one of the values Equals, without regard to case.
	Attribute string
	Equals    []string
	// Network is inside or outside, as the request came.
	Network string
}

// Fault is one thing that is wrong with rules. Field is its place as the settings
// spell it, for example claims[2].type.
type Fault struct {
	Field, Message string
	// Value is a word that is not known, Known are the words that would be.
	Value string
	Known []string
}

// Error implements error.
func (f *Fault) Error() string { return f.Field + ": " + f.Message }

// faults collects what is wrong below a place.
type faults struct {
	rules *Rules
	place string
	list  []Fault
}

func (f *faults) add(field, format string, args ...any) {
	f.list = append(f.list, Fault{Field: strings.TrimSuffix(f.place+field, "."), Message: fmt.Sprintf(format, args...)})
}

// word adds a fault unless value is one of the known words.
func (f *faults) word(field, value string, known ...string) {
	for _, k := range known {
		if value == k {
			return
		}
	}
	f.list = append(f.list, Fault{Field: f.place + field, Message: fmt.Sprintf("%.80q is not known: write %s", value, strings.Join(known, ", ")), Value: value, Known: known})
}

// Check returns everything that is wrong with the rules.
func (r *Rules) Check() []Fault {
	f := &faults{rules: r}
	r.NameID.check(f)
	for i := range r.Claims {
		f.place = fmt.Sprintf("claims[%d].", i)
		r.Claims[i].check(f)
	}
	f.place = "access."
	f.groups("allow_groups", r.AllowGroups)
	f.groups("deny_groups", r.DenyGroups)
	f.place = ""
	if r.MaxGroups < 0 || r.MaxGroups > HighestMaxGroups {
		f.add("max_groups", "%d is not between 1 and %d, which is all that a Windows token holds", r.MaxGroups, HighestMaxGroups)
	}
	return f.list
}

func (f *faults) groups(field string, list []string) {
	for i, s := range list {
		if _, msg := parseGroup(s); msg != "" {
			f.add(fmt.Sprintf("%s[%d]", field, i), "%s", msg)
		}
	}
}

func (r *Rule) check(f *faults) {
	full := r.checkType(f)
	r.checkSource(f, full)
	if r.Case != "" {
		f.word("case", r.Case, "lower", "upper")
		if r.Constant != "" {
			f.add("case", "stands beside constant: write the constant as it is wanted, and take case out")
		}
	}
	if len(r.Match) > 0 && r.AllGroups == "" {
		f.add("match", "chooses among all_groups: write all_groups: name beside it, or take it out")
	}
	for i, p := range r.Match {
		if strings.Trim(p, "*") == "" || len(p) > maxPattern {
			f.add(fmt.Sprintf("match[%d]", i), "%.80q is no pattern: write a name with * for any text, such as App-*; for all groups take match out", p)
		}
	}
	r.When.check(f)
}

// maxPattern bounds patterns, names and values in rules.
const maxPattern = 512

func (r *Rule) checkType(f *faults) string {
	full, msg := f.rules.name(r)
	if r.NameFormat != "" {
		f.word("name_format", r.NameFormat, "basic", "unspecified")
		if !f.rules.SAML20 {
			f.add("name_format", "is for SAML 2.0 tokens: write token_type: saml20, or take it out and write a URI as type")
		}
	}
	switch {
	case r.Type == "":
		f.add("type", "is missing: write the claim's URI, or one of %s", strings.Join(TypeNames(), ", "))
	case msg != "":
		fault := Fault{Field: f.place + "type", Message: msg}
		if r.NameFormat == "" {
			fault.Value, fault.Known = r.Type, TypeNames()
		}
		f.list = append(f.list, fault)
	case reserved(full) != "":
		f.add("type", "%s", reserved(full))
	}
	return full
}

func (r *Rule) checkSource(f *faults, full string) {
	sources := 0
	for _, set := range []bool{r.Attribute != "", r.Constant != "", len(r.Groups) > 0, r.AllGroups != ""} {
		if set {
			sources++
		}
	}
	if sources != 1 {
		f.add("", "needs exactly one source of its value: attribute, constant, groups or all_groups")
	}
	if names := naming(full); names && (r.Constant != "" || len(r.Groups) > 0 || r.AllGroups != "") {
		f.add("type", "names the person, so that one value for several people would let them act as each other: write attribute:")
	}
	if r.Attribute != "" {
		f.attribute("attribute", r.Attribute)
	}
	if msg := badText(r.Constant); r.Constant != "" && msg != "" {
		f.add("constant", "%s", msg)
	}
	for i, g := range r.Groups {
		field := fmt.Sprintf("groups[%d]", i)
		ref, msg := parseGroup(g.Group)
		switch {
		case msg != "":
			f.add(field+".group", "%s", msg)
		case ref.sid != "" && g.Value == "":
			f.add(field, "is a SID without a value: write {group: %s, value: NAME}", g.Group)
		}
		if msg := badText(g.Value); g.Value != "" && msg != "" {
			f.add(field+".value", "%s", msg)
		}
	}
	if r.AllGroups != "" {
		f.word("all_groups", r.AllGroups, "name", "qualified_name", "sid")
	}
}

func (w *When) check(f *faults) {
	f.groups("when.member_of", w.MemberOf)
	f.groups("when.not_member_of", w.NotMemberOf)
	switch {
	case w.Attribute != "" && len(w.Equals) == 0:
		f.add("when.attribute", "is compared with nothing: write equals: [VALUE] beside it")
	case w.Attribute == "" && len(w.Equals) > 0:
		f.add("when.equals", "is compared with nothing: write attribute: NAME beside it")
	}
	if w.Attribute != "" {
		f.attribute("when.attribute", w.Attribute)
	}
	if w.Network != "" {
		f.word("when.network", w.Network, "inside", "outside")
	}
}

func (f *faults) attribute(field, name string) {
	if _, ok := f.rules.attribute(name); ok {
		return
	}
	msg := fmt.Sprintf("%.80q is not an attribute that a claim may carry", name)
	switch n := strings.ToLower(name); {
	case secret(n):
		msg = "may hold a secret, and no secret is ever read for a claim: name another attribute"
	case n == "memberof" || n == "tokengroups" || n == "primarygroupid":
		msg = "is not how groups are told (it lacks nested ones): write all_groups: name, or groups: [...]"
	}
	f.list = append(f.list, Fault{Field: f.place + field, Message: msg, Value: name, Known: append(AttributeNames(), f.rules.Attributes...)})
}

// badText says what is wrong with a value that stands in the settings.
func badText(s string) string {
	switch {
	case len(s) > maxPattern:
		return fmt.Sprintf("is longer than %d bytes", maxPattern)
	case strings.ContainsFunc(s, unicode.IsControl) || strings.ContainsRune(s, unicode.ReplacementChar):
		return "holds a control character: take it out"
	case strings.TrimSpace(s) == "":
		return "is blank: write a value"
	default:
		return ""
	}
}

// Needs returns the attributes that have to be read of each account, and whether
// its groups have to be.
func (r *Rules) Needs() (attributes []string, groups bool) {
	need := func(name string) {
		if at, ok := r.attribute(name); ok && at.of == nil {
			attributes = append(attributes, at.name)
		}
	}
	need(r.NameID.Attribute)
	groups = len(r.AllowGroups) > 0 || len(r.DenyGroups) > 0
	for i := range r.Claims {
		c := &r.Claims[i]
		need(c.Attribute)
		need(c.When.Attribute)
		groups = groups || len(c.Groups) > 0 || c.AllGroups != "" || len(c.When.MemberOf) > 0 || len(c.When.NotMemberOf) > 0
	}
	return attributes, groups
}

// NamedGroup is a group that rules name by name, and where.
type NamedGroup struct{ Field, Value string }

// NamedGroups returns the groups that the rules name by name, in order.
func (r *Rules) NamedGroups() []NamedGroup {
	var list []NamedGroup
	add := func(field string, groups ...string) {
		for i, s := range groups {
			if g, msg := parseGroup(s); msg == "" && g.name != "" {
				list = append(list, NamedGroup{fmt.Sprintf("%s[%d]", field, i), g.name})
			}
		}
	}
	for i := range r.Claims {
		place := fmt.Sprintf("claims[%d].", i)
		groups := make([]string, len(r.Claims[i].Groups))
		for j, g := range r.Claims[i].Groups {
			groups[j] = g.Group
		}
		add(place+"groups", groups...)
		add(place+"when.member_of", r.Claims[i].When.MemberOf...)
		add(place+"when.not_member_of", r.Claims[i].When.NotMemberOf...)
	}
	add("access.allow_groups", r.AllowGroups...)
	add("access.deny_groups", r.DenyGroups...)
	return list
}
