package signin_test

import "testing"

func TestPersonSignsInAndThenSilently(t *testing.T) {
	l := newLab(t, nil)
	b := l.browser()
	b.get(signInQuery+"&username=alice%40contoso.test").wants(200, "to continue to", `value="alice@contoso.test"`)
	p := b.signIn("alice@contoso.test")
	p.wants(200, "Signing you in")
	if got := p.field("wctx"); got != "LoginOptions=3&estsredirect=2" {
		t.Errorf("wctx = %q", got)
	}
	if p := b.get(signInQuery); !p.isHandOver() {
		t.Errorf("session was not used:\n%s", p.body)
	}
	if n := l.responder.issued(); n != 2 {
		t.Errorf("%d tokens", n)
	}
}
