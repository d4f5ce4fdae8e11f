package sessiontest

import (
	"fmt"
	"slices"

	"github.com/google/go-cmp/cmp"

	"sallyport/authn/session"
)

func (x *suite) parties() {
	id := x.create(Example(1, x.Now()))
	long := "https://wiki.fabrikam.test/" + string(make([]byte, 300))
	for _, p := range []string{"urn:a", "", "urn:b", long, "urn:a", "urn:a"} {
		if _, err := x.s.Use(x.t.Context(), id, p); err != nil {
			x.t.Fatalf("Use: %v", err)
		}
	}
	got, err := x.s.End(x.t.Context(), id)
	if d := cmp.Diff([]string{"urn:a", long, "urn:b"}, got); err != nil || d != "" {
		x.t.Errorf("End: %v, parties (-want +got):\n%s", err, d)
	}
}

// partiesOfNew: what Create remembers stands behind what is used later.
func (x *suite) partiesOfNew() {
	id, err := x.s.Create(x.t.Context(), Example(1, x.Now()), "urn:b", "urn:a")
	if err != nil {
		x.t.Fatal(err)
	}
	for _, p := range []string{"urn:c", "urn:a"} {
		if _, err := x.s.Use(x.t.Context(), id, p); err != nil {
			x.t.Fatal(err)
		}
	}
	got, err := x.s.End(x.t.Context(), id)
	if d := cmp.Diff([]string{"urn:a", "urn:c", "urn:b"}, got); err != nil || d != "" {
		x.t.Errorf("End: %v, parties (-want +got):\n%s", err, d)
	}
	many := make([]string, session.MaxParties+5)
	for n := range many {
		many[n] = fmt.Sprint("urn:party:", n)
	}
	if id, err = x.s.Create(x.t.Context(), Example(1, x.Now()), many...); err != nil {
		x.t.Fatal(err)
	}
	if got, err = x.s.End(x.t.Context(), id); err != nil || !slices.Equal(got, many[:session.MaxParties]) {
		x.t.Errorf("End = %d parties, %v", len(got), err)
	}
}

func (x *suite) partiesBound() {
	id := x.create(Example(1, x.Now()))
	for n := range session.MaxParties + 10 {
		if _, err := x.s.Use(x.t.Context(), id, fmt.Sprint("urn:party:", n)); err != nil {
			x.t.Fatal(err)
		}
	}
	got, err := x.s.End(x.t.Context(), id)
	if err != nil || len(got) != session.MaxParties || got[0] != fmt.Sprint("urn:party:", session.MaxParties+9) {
		x.t.Errorf("End = %d parties, %v", len(got), err)
	}
}

func (x *suite) partiesOfDead() {
	id := x.create(Example(1, x.Now()))
	if _, err := x.s.Use(x.t.Context(), id, "urn:a"); err != nil {
		x.t.Fatal(err)
	}
	if p, err := x.s.End(x.t.Context(), id); err != nil || len(p) != 1 {
		x.t.Fatalf("End = %v, %v", p, err)
	}
	for range 5 {
		x.dead("after End", id) // tries to add a party
	}
}
