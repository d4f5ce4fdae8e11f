package demo_test

import (
	"bytes"
	"strings"
	"testing"

	"sallyport/cmd/internal/demo"
)

// The trip of every kind of user is what the newcomer sees first.
func TestEveryKindOfUserGetsTheRightEndOfTheTrip(t *testing.T) {
	d, err := demo.Start(t.Context(), demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out bytes.Buffer
	if !d.Check(t.Context(), &out) {
		t.Errorf("the check failed:\n%s", out.String())
	}
	for _, u := range d.Users {
		if !strings.Contains(out.String(), u.State) {
			t.Errorf("no line for %s (%s)", u.SAM, u.State)
		}
		if strings.Contains(out.String(), u.Password) {
			t.Errorf("the password of %s is printed by the check", u.SAM)
		}
	}
	if v := d.Directory.Violations(); len(v) > 0 {
		t.Errorf("the directory was used in ways that a DC does not like: %q", v)
	}
}

func TestTheTableNamesEveryUserAndThePlaceToOpen(t *testing.T) {
	d, err := demo.Start(t.Context(), demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out bytes.Buffer
	d.Welcome(&out)
	if !strings.Contains(out.String(), d.Cloud.URL()) {
		t.Errorf("the address to open is not printed:\n%s", out.String())
	}
	for _, u := range d.Users {
		if !strings.Contains(out.String(), u.Password) || !strings.Contains(out.String(), u.State) {
			t.Errorf("%s is not in the table", u.SAM)
		}
	}
}
