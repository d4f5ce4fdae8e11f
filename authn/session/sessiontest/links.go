package sessiontest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/authn/session"
)

// linked returns the store's links, which every store of this module has.
func (x *suite) linked() session.Links {
	l, ok := x.s.(session.Links)
	if !ok {
		x.t.Fatalf("%T keeps no links", x.s)
	}
	return l
}

func (x *suite) link(id session.ID, name, label string) {
	x.t.Helper()
	if err := x.linked().Link(x.t.Context(), id, name, label); err != nil {
		x.t.Fatalf("Link: %v", err)
	}
}

// endLinked returns the labels of what ended, sorted.
func (x *suite) endLinked(name string, labels ...string) []string {
	x.t.Helper()
	all, err := x.linked().EndLinked(x.t.Context(), name, labels)
	if err != nil {
		x.t.Fatalf("EndLinked: %v", err)
	}
	var ended []string
	for _, e := range all {
		ended = append(ended, e.Label)
	}
	slices.Sort(ended)
	return ended
}

func (x *suite) links() {
	want := Example(1, x.Now())
	one, two, other := x.create(want), x.create(Example(1, x.Now())), x.create(Example(2, x.Now()))
	if _, err := x.s.Use(x.t.Context(), one, "saml:wiki"); err != nil {
		x.t.Fatal(err)
	}
	x.link(one, "wiki alice", "1")
	x.link(one, "wiki alice", "1") // again: the person came a second time
	x.link(one, "crm alice", "1")
	x.link(two, "wiki alice", "2")
	x.link(other, "wiki bob", "3")
	for _, wrong := range []struct{ name, label string }{
		{"wiki alice", "3"}, {"wiki alic", ""}, {"wiki alice1", ""}, {"", "1"},
	} {
		if got := x.endLinked(wrong.name, wrong.label); got != nil {
			x.t.Errorf("%q with label %q ended %v", wrong.name, wrong.label, got)
		}
	}
	all, err := x.linked().EndLinked(x.t.Context(), "wiki alice", []string{"1", "9"})
	if err != nil || len(all) != 1 {
		x.t.Fatalf("EndLinked = %v, %v", all, err)
	}
	if d := cmp.Diff(session.Ended{Session: want, Label: "1", Parties: []string{"saml:wiki"}}, all[0]); d != "" {
		x.t.Errorf("ended (-want +got):\n%s", d)
	}
	x.dead("the session that was ended", one)
	x.live("another session of the name", two)
	x.live("another person's", other)
	if got := x.endLinked("wiki alice", "1"); got != nil {
		x.t.Errorf("it ended twice: %v", got)
	}
	if got := x.endLinked("crm alice"); got != nil {
		x.t.Errorf("the other name still leads there: %v", got)
	}
	if got := x.endLinked("wiki alice"); !slices.Equal(got, []string{"2"}) {
		x.t.Errorf("without labels %v ended", got)
	}
	x.dead("the second session", two)
	x.link(two, "wiki alice", "2") // in vain
	if got := x.endLinked("wiki alice"); got != nil {
		x.t.Errorf("a dead session ended again: %v", got)
	}
}

func (x *suite) linksBound() {
	for n := range session.MaxLinks + 5 {
		x.link(x.create(Example(1, x.Now())), "wiki alice", fmt.Sprintf("%03d", n))
	}
	got := x.endLinked("wiki alice")
	if len(got) != session.MaxLinks || got[0] != "005" {
		x.t.Errorf("%d sessions ended, the first of them %v", len(got), got[:1])
	}
	x.link(x.create(Example(1, x.Now())), "wiki alice", "")
	x.Advance(x.t, 5*time.Hour)
	if got := x.endLinked("wiki alice"); got != nil {
		x.t.Errorf("%v ended after its end", got)
	}
	ctx, id := x.t.Context(), x.create(Example(1, x.Now()))
	for _, err := range []error{
		x.linked().Link(ctx, session.ID{}, "n", ""), x.linked().Link(ctx, id, "", ""),
		x.linked().Link(ctx, id, "n", strings.Repeat("x", session.MaxLabel+1)),
	} {
		if err == nil || errors.Is(err, session.ErrUnavailable) {
			x.t.Errorf("a link that cannot be kept: %v", err)
		}
	}
}
