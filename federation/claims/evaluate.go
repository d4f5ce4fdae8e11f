package claims

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"sallyport/authn"
	"sallyport/federation"
	"sallyport/federation/token"
)

// The reasons for which rules refuse a token. They are causes of a
// [federation.Error].
var (
	// ErrDenied: the person is in one of the party's deny_groups.
	ErrDenied = errors.New("claims: the person is in a group that may not sign in here")
	// ErrNotAllowed: the person is in none of the party's allow_groups.
	ErrNotAllowed = errors.New("claims: the person is in no group that may sign in here")
	// ErrTooManyGroups: a claim would name more groups than it may.
	ErrTooManyGroups = errors.New("claims: too many groups for one claim")
	// ErrNoGroups: the directory did not say which groups the person is in, which is
	// not the same as none.
	ErrNoGroups = errors.New("claims: the person's groups are not known")
	// ErrNoName: the attribute that names people at the party does not name this one.
	ErrNoName = errors.New("claims: nothing names the person at the party")
	// ErrUnknownGroup: a group that keeps people out does not exist in the directory,
	// so that nobody can tell whom it means.
	ErrUnknownGroup = errors.New("claims: a group in the rules does not exist in the directory")
)

// Step tells of one rule what it did, for explanations.
type Step struct {
	// Rule is the rule in words.
	Rule string
	// Fired is true when the rule gave at least one value, or let the person in.
	Fired bool
	// Why says why it did not, or what is odd about it.
	Why string
	// Type and Values are what it gave.
	Type   string
	Values []string
}

// run is one evaluation of a program.
type run struct {
	e      *Engine
	ctx    context.Context
	p      *program
	sub    *federation.Subject
	acc    *authn.Account
	trace  *[]Step // nil unless somebody wants to know
	claims []token.Attribute
	from   map[string]int // values from groups by claim type
}

func (r *run) note(s Step) {
	if r.trace != nil {
		*r.trace = append(*r.trace, s)
	}
}

// access decides whether the person may sign in at the party; deny wins.
func (r *run) access() error {
	for _, g := range r.p.deny {
		in, known, err := r.member(g)
		text := "deny_groups: " + g.String()
		switch {
		case err != nil:
			r.note(Step{Rule: text, Why: err.Error()})
			return err
		case !known:
			r.note(Step{Rule: text, Why: "no such group: nobody may sign in until it is corrected"})
			return fmt.Errorf("%w: deny_groups names %s", ErrUnknownGroup, g)
		case in:
			r.note(Step{Rule: text, Fired: true, Why: "the person is a member"})
			return r.refuse(federation.ProblemNotAllowed, fmt.Errorf("%w: %s", ErrDenied, g))
		}
		r.note(Step{Rule: text, Why: "the person is no member"})
	}
	if len(r.p.allow) == 0 {
		return nil
	}
	for _, g := range r.p.allow {
		in, known, err := r.member(g)
		text := "allow_groups: " + g.String()
		switch {
		case err != nil:
			r.note(Step{Rule: text, Why: err.Error()})
			return err
		case in:
			r.note(Step{Rule: text, Fired: true})
			return nil
		case !known:
			r.note(Step{Rule: text, Why: "no such group"})
		default:
			r.note(Step{Rule: text, Why: "the person is no member"})
		}
	}
	return r.refuse(federation.ProblemNotAllowed, ErrNotAllowed)
}

func (r *run) refuse(p federation.Problem, cause error) error {
	return &federation.Error{Problem: p, Cause: cause}
}

// groups returns the SIDs of the person's groups.
func (r *run) groups() ([]string, error) {
	if !r.acc.GroupsRead {
		return nil, r.refuse(federation.ProblemDirectory, ErrNoGroups)
	}
	return r.acc.Groups, nil
}

// member reports whether the person is in a group; known is false when no group
// has the name.
func (r *run) member(g group) (in, known bool, err error) {
	mine, err := r.groups()
	if err != nil {
		return false, true, err
	}
	sid := g.sid
	if sid == "" {
		if sid, err = r.e.groupSID(r.ctx, g.name); err != nil {
			return false, true, r.refuse(federation.ProblemDirectory, fmt.Errorf("claims: looking for the group %s: %w", g, err))
		}
	}
	return sid != "" && slices.Contains(mine, sid), sid != "", nil
}

// run applies the rules in order.
func (r *run) run() error {
	for i := range r.p.steps {
		if err := r.step(&r.p.steps[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) step(s *step) error {
	note := Step{Rule: s.text, Type: s.claimType}
	why, err := r.holds(&s.when)
	if err != nil || why != "" {
		note.Why = why
		if err != nil {
			note.Why = err.Error()
		}
		r.note(note)
		return err
	}
	values, why, err := r.values(s)
	if err == nil {
		values, err = r.sound(s, values, &why)
	}
	if err == nil {
		err = r.give(s, values)
	}
	note.Why, note.Values, note.Fired = why, values, len(values) > 0 && err == nil
	if err != nil {
		note.Why = err.Error()
	}
	r.note(note)
	return err
}

// holds returns why a condition does not hold, empty when it does.
func (r *run) holds(c *condition) (string, error) {
	if c.network != "" && (c.network == "inside") != r.sub.InsideNetwork {
		return "the request did not come from " + c.network, nil
	}
	if c.values != nil && !slices.ContainsFunc(c.values(r.acc), func(v string) bool {
		return slices.ContainsFunc(c.equals, func(want string) bool { return strings.EqualFold(v, want) })
	}) {
		return fmt.Sprintf("%s is none of %q", c.source, c.equals), nil
	}
	for _, g := range c.notIn {
		in, known, err := r.member(g)
		switch {
		case err != nil:
			return "", err
		case !known:
			return "no group is called " + g.String() + ", so that nobody can tell who is not in it", nil
		case in:
			return "the person is in " + g.String(), nil
		}
	}
	if len(c.in) == 0 {
		return "", nil
	}
	for _, g := range c.in {
		in, _, err := r.member(g)
		if err != nil || in {
			return "", err
		}
	}
	return "the person is in none of " + join(c.in), nil
}

func join(groups []group) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.String()
	}
	return strings.Join(names, ", ")
}

// values returns what a rule gives before letter case.
func (r *run) values(s *step) (values []string, why string, err error) {
	switch {
	case s.values != nil:
		if values = s.values(r.acc); len(values) == 0 {
			why = "the account has no " + s.source
		}
		return values, why, nil
	case s.all != "":
		return r.allGroups(s)
	}
	var absent []string
	for _, g := range s.groups {
		in, known, err := r.member(g.group)
		switch {
		case err != nil:
			return nil, "", err
		case in:
			values = append(values, g.value)
		case !known:
			absent = append(absent, g.String())
		}
	}
	switch {
	case len(absent) > 0:
		why = "no group is called " + strings.Join(absent, ", ")
	case len(values) == 0:
		why = "the person is in none of these groups"
	}
	return values, why, nil
}

// allGroups returns every group of the person that matches. A group without a
// name (of a domain that is not configured, or a former SID) is told by its SID
// where no pattern asks for a name, so that nothing is left out unseen.
func (r *run) allGroups(s *step) (values []string, why string, err error) {
	mine, err := r.groups()
	if err != nil {
		return nil, "", err
	}
	if s.all == "sid" && len(s.match) == 0 {
		return mine, "", nil
	}
	names, err := r.e.groupNames(r.ctx, r.acc.Domain, mine)
	if err != nil {
		return nil, "", r.refuse(federation.ProblemDirectory, fmt.Errorf("claims: names of groups: %w", err))
	}
	nameless := 0
	for _, sid := range mine {
		full := names[sid]
		if full == "" {
			nameless++
			if len(s.match) == 0 {
				values = append(values, sid)
			}
			continue
		}
		at := strings.IndexByte(full, '\\') + 1
		if len(s.match) > 0 {
			lower := strings.ToLower(full)
			short := lower[strings.IndexByte(lower, '\\')+1:]
			if !slices.ContainsFunc(s.match, func(p pattern) bool { return p.fits(short, lower) }) {
				continue
			}
		}
		switch s.all {
		case "name":
			values = append(values, full[at:])
		case "qualified_name":
			values = append(values, full)
		default:
			values = append(values, sid)
		}
	}
	switch {
	case nameless > 0:
		why = fmt.Sprintf("%d of the groups have no name in the configured domains", nameless)
	case len(values) == 0:
		why = "none of the person's groups matches"
	}
	return values, why, nil
}

// sound applies letter case and drops what a token cannot carry; a value that
// names the person refuses the token instead.
func (r *run) sound(s *step, values []string, why *string) ([]string, error) {
	out := make([]string, 0, len(values))
	known := map[string]bool{}
	for _, v := range values {
		if s.fold != nil {
			v = s.fold(v)
		}
		if err := token.CheckValue(s.claimType, v); err != nil {
			if s.naming {
				return nil, fmt.Errorf("claims: %w", err)
			}
			*why = "a value holds a character that a token cannot carry"
			r.e.cfg.Logger.LogAttrs(r.ctx, slog.LevelWarn, "claim left out", slog.String("account", r.acc.ID.String()),
				slog.String("claim", s.claimType), slog.String("error", err.Error()))
			continue
		}
		if v != "" && !known[v] {
			known[v] = true
			out = append(out, v)
		}
	}
	return out, nil
}

// give adds values to the claim of that type, which is one attribute however many
// rules fill it (CASES C09).
func (r *run) give(s *step, values []string) error {
	if len(values) == 0 {
		return nil
	}
	a := attribute(s.claimType)
	if s.format != "" {
		a = token.Attribute{Name: s.claimType, Format: s.format}
	}
	at := slices.IndexFunc(r.claims, func(c token.Attribute) bool {
		return c.Name == a.Name && c.Namespace == a.Namespace && c.Format == a.Format
	})
	added := len(values)
	if at < 0 {
		a.Values = values
		r.claims = append(r.claims, a)
	} else {
		before := len(r.claims[at].Values)
		for _, v := range values {
			if !slices.Contains(r.claims[at].Values[:before], v) {
				r.claims[at].Values = append(r.claims[at].Values, v)
			}
		}
		added = len(r.claims[at].Values) - before
	}
	if s.values != nil {
		return nil
	}
	if r.from == nil {
		r.from = map[string]int{}
	}
	if r.from[s.claimType] += added; r.from[s.claimType] > r.p.maxGroups {
		return fmt.Errorf("%w: %s would name %d groups, at most %d are allowed (max_groups); choose among them with match",
			ErrTooManyGroups, s.claimType, r.from[s.claimType], r.p.maxGroups)
	}
	return nil
}
