package claims

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"sallyport/federation/token"
)

// NameID is the source of the token's name identifier. The zero value is the user
// principal name.
type NameID struct {
	// Attribute is one of [NameAttributes] or of Rules.Attributes. Who has no value in
	// it, or several, gets no token.
	Attribute string
	// Case turns the value into lower or upper case.
	Case string
}

// NameAttributes returns the attributes that may name a person in a token, in order:
// those that are one person's alone, or that administrators keep so.
func NameAttributes() []string {
	names := strings.Fields("userPrincipalName sAMAccountName windowsAccountName objectGUID objectSid mS-DS-ConsistencyGuid mail mailNickname employeeID employeeNumber uid uidNumber")
	for _, a := range attributes {
		if strings.HasPrefix(a.name, "extensionAttribute") || strings.HasPrefix(a.name, "msDS-cloudExtensionAttribute") {
			names = append(names, a.name)
		}
	}
	sort.Strings(names)
	return names
}

func (n *NameID) check(f *faults) {
	if n.Case != "" {
		f.word("name_id.case", n.Case, "lower", "upper")
	}
	switch lower := strings.ToLower(n.Attribute); {
	case n.Attribute == "" && n.Case != "":
		f.add("name_id.attribute", "is missing: write which attribute names the person")
	case n.Attribute == "" || slices.ContainsFunc(NameAttributes(), func(s string) bool { return strings.EqualFold(s, n.Attribute) }):
	case attributes[lower].name == "": // of a schema extension, or unknown
		f.attribute("name_id.attribute", n.Attribute)
	case SelfWritten(lower):
		f.add("name_id.attribute", "%s is what people may write of their own account, so that they could name themselves as somebody else: name another attribute", n.Attribute)
	default:
		f.add("name_id.attribute", "%s may be the same for several people, who could then act as each other: write one of %s", n.Attribute, strings.Join(NameAttributes(), ", "))
	}
}

// nameID returns what names the person in the token.
func (r *run) nameID() (string, error) {
	if r.p == nil || r.p.name == nil {
		return r.acc.UPN, upn(r.acc)
	}
	note := Step{Rule: "name_id from attribute " + r.p.nameSource, Type: "name_id"}
	value, err := r.soleName()
	if err != nil {
		note.Why = err.Error()
	} else {
		note.Fired, note.Values = true, []string{value}
	}
	r.note(note)
	return value, err
}

// soleName returns the one value of the attribute that names people.
func (r *run) soleName() (string, error) {
	values := r.p.name(r.acc)
	if len(values) != 1 || strings.TrimSpace(values[0]) == "" {
		return "", fmt.Errorf("%w: %s has %d values", ErrNoName, r.p.nameSource, len(values))
	}
	value := values[0]
	if r.p.nameFold != nil {
		value = r.p.nameFold(value)
	}
	if err := token.CheckValue("name_id", value); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoName, err)
	}
	return value, nil
}
