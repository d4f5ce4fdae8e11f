package web_test

import (
	"net/http/httptest"
	"testing"

	"sallyport/federation/web"
)

// A door is shut to whom it is not open, for values that nobody has given a meaning too.
func TestDoorsAreThereForThoseTheyAreOpenTo(t *testing.T) {
	for _, c := range []struct {
		access            web.Access
		outsider, insider bool
	}{{web.Off, false, false}, {web.Inside, false, true}, {web.Everywhere, true, true}, {web.Everywhere + 1, false, false}} {
		for inside, want := range map[bool]bool{false: c.outsider, true: c.insider} {
			r := httptest.NewRequest("GET", "/", nil)
			r = r.WithContext(web.With(r.Context(), &web.Info{Inside: inside}))
			if got := c.access.Admits(r); got != want {
				t.Errorf("access %d, inside %v: %v", c.access, inside, got)
			}
		}
	}
}
