package claims

import (
	"errors"
	"fmt"
	"strings"

	"sallyport/authn"
)

// program is one party's rules, ready to run. It is read-only.
type program struct {
	// name reads the name identifier; nil means the user principal name.
	name        func(*authn.Account) []string
	nameSource  string
	nameFold    func(string) string
	steps       []step
	allow, deny []group
	maxGroups   int
}

// step is one rule.
type step struct {
	text      string // the rule in words, for explanations
	claimType string
	format    string // NameFormat of SAML 2.0; empty: a URI
	naming    bool
	values    func(*authn.Account) []string // attribute or constant; nil for groups
	source    string                        // the attribute's name
	groups    []groupValue
	all       string
	match     []pattern
	fold      func(string) string
	when      condition
}

type groupValue struct {
	group
	value string
}

type condition struct {
	in, notIn []group
	values    func(*authn.Account) []string
	source    string
	equals    []string
	network   string
}

// compile checks rules and makes a program of them.
func compile(r *Rules) (*program, error) {
	if list := r.Check(); len(list) > 0 {
		errs := make([]error, len(list))
		for i := range list {
			errs[i] = &list[i]
		}
		return nil, errors.Join(errs...)
	}
	p := &program{allow: parseGroups(r.AllowGroups), deny: parseGroups(r.DenyGroups), maxGroups: r.MaxGroups}
	if p.maxGroups == 0 {
		p.maxGroups = DefaultMaxGroups
	}
	if r.NameID.Attribute != "" {
		p.name, p.nameSource = r.reader(r.NameID.Attribute)
		p.nameFold = fold(r.NameID.Case)
	}
	for i := range r.Claims {
		p.steps = append(p.steps, r.compile(&r.Claims[i]))
	}
	return p, nil
}

func (r *Rules) compile(rule *Rule) step {
	s := step{text: rule.String(), all: rule.AllGroups}
	s.claimType, _ = r.name(rule)
	if rule.NameFormat != "" {
		s.format = nameFormats + rule.NameFormat
	}
	s.naming = naming(s.claimType)
	for _, m := range rule.Match {
		s.match = append(s.match, newPattern(m))
	}
	switch {
	case rule.Attribute != "":
		s.values, s.source = r.reader(rule.Attribute)
	case rule.Constant != "":
		constant := []string{rule.Constant}
		s.values = func(*authn.Account) []string { return constant }
	}
	for _, g := range rule.Groups {
		ref, _ := parseGroup(g.Group)
		value := g.Value
		if value == "" {
			value = ref.short()
		}
		s.groups = append(s.groups, groupValue{ref, value})
	}
	s.fold = fold(rule.Case)
	s.when = condition{in: parseGroups(rule.When.MemberOf), notIn: parseGroups(rule.When.NotMemberOf), equals: rule.When.Equals, network: rule.When.Network}
	if rule.When.Attribute != "" {
		s.when.values, s.when.source = r.reader(rule.When.Attribute)
	}
	return s
}

// fold returns what turns values into a letter case, nil for none.
func fold(name string) func(string) string {
	switch name {
	case "lower":
		return strings.ToLower
	case "upper":
		return strings.ToUpper
	}
	return nil
}

// parseGroups is for lists that were checked.
func parseGroups(list []string) []group {
	var groups []group
	for _, s := range list {
		g, _ := parseGroup(s)
		groups = append(groups, g)
	}
	return groups
}

// reader returns how an attribute is read, and its name.
func (r *Rules) reader(name string) (func(*authn.Account) []string, string) {
	at, _ := r.attribute(name)
	if at.of == nil {
		key := strings.ToLower(at.name)
		return func(a *authn.Account) []string { return a.Attributes[key] }, at.name
	}
	return func(a *authn.Account) []string {
		if v := at.of(a); v != "" {
			return []string{v}
		}
		return nil
	}, at.name
}

// String says in one line what a rule does.
func (r *Rule) String() string {
	var b strings.Builder
	b.WriteString(r.Type)
	switch {
	case r.Attribute != "":
		fmt.Fprintf(&b, " from attribute %s", r.Attribute)
	case r.Constant != "":
		fmt.Fprintf(&b, " is %q", r.Constant)
	case r.AllGroups != "":
		fmt.Fprintf(&b, " from all groups (%s)", r.AllGroups)
	default:
		names := make([]string, len(r.Groups))
		for i, g := range r.Groups {
			names[i] = g.Group
		}
		fmt.Fprintf(&b, " from groups %s", strings.Join(names, ", "))
	}
	if len(r.Match) > 0 {
		fmt.Fprintf(&b, " that match %s", strings.Join(r.Match, ", "))
	}
	if r.Case != "" {
		fmt.Fprintf(&b, ", in %s case", r.Case)
	}
	return b.String()
}

// pattern is a text in lower case in which * stands for any text.
type pattern struct {
	parts     []string // between the stars
	qualified bool     // holds a backslash: meant is DOMAIN\name
}

func newPattern(s string) pattern {
	return pattern{parts: strings.Split(strings.ToLower(s), "*"), qualified: strings.Contains(s, `\`)}
}

// fits reports whether a group's name, in lower case, fits.
func (p pattern) fits(short, full string) bool {
	rest, last := short, len(p.parts)-1
	if p.qualified {
		rest = full
	}
	if last == 0 {
		return rest == p.parts[0]
	}
	rest, ok := strings.CutPrefix(rest, p.parts[0])
	if !ok {
		return false
	}
	for _, part := range p.parts[1:last] {
		if _, rest, ok = strings.Cut(rest, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(rest, p.parts[last])
}
