package directory_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/authn"
	"sallyport/authn/directory"
	"sallyport/authn/directory/directorytest"
)

// secrets is a set of password files that a test may change.
type secrets struct{ set atomic.Pointer[[][]byte] }

func (s *secrets) write(passwords ...string) {
	set := make([][]byte, len(passwords))
	for i, p := range passwords {
		set[i] = []byte(p)
	}
	s.set.Store(&set)
}

func (s *secrets) config(_ *directorytest.Directory, c *directory.Config) {
	c.Service.Passwords = func() [][]byte { return *s.set.Load() }
}

// serviceBinds counts binds as the service account.
func serviceBinds(l *lab) (n int) {
	for _, b := range l.ad.Binds() {
		if b.DN == l.ad.ServiceDN {
			n++
		}
	}
	return n
}

func TestServiceAccountIsNotLockedByUs(t *testing.T) {
	var s secrets
	s.write("wrong-now", "wrong-before")
	l := newLab(t, directorytest.Config{DCs: 2}, s.config)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, "sign-in") })
	}
	wg.Wait()
	if err := l.dir.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "bind pools warm", func() bool {
		for _, s := range l.dir.Status()[0].Servers {
			if s.BindIdle+s.BindLent != 2 {
				return false
			}
		}
		return true
	})
	dials := l.ad.DCs[0].Dials() + l.ad.DCs[1].Dials()
	for range 20 {
		l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, "sign-in")
	}
	if n := serviceBinds(l); n != 2 {
		t.Errorf("%d binds as the service account, want one for each password", n)
	}
	if n := l.ad.DCs[0].Dials() + l.ad.DCs[1].Dials(); n > dials {
		t.Errorf("%d connections were made for nothing", n-dials)
	}
	st := l.dir.Status()[0]
	if st.ServiceAccount == "" || st.Usable {
		t.Errorf("status %+v", st)
	}
	for _, srv := range st.Servers {
		if srv.Breaker != "closed" {
			t.Errorf("a wrong password of ours opened %s's breaker", srv.Name)
		}
	}
	// A new file is tried at once.
	s.write(l.ad.ServicePassword, "wrong-now")
	l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "after the file changed")
	if n := serviceBinds(l); n < 3 {
		t.Errorf("%d binds", n)
	}
	if st := l.dir.Status()[0]; st.ServiceAccount != "" {
		t.Errorf("status %+v", st)
	}
}

func TestServiceAccountPausesDoubleAndOfferOnePassword(t *testing.T) {
	var s secrets
	s.write("wrong-now", "wrong-before")
	l := newLab(t, directorytest.Config{}, s.config)
	var offset atomic.Int64
	l.dir.ServiceClock(func() time.Time { return time.Now().Add(time.Duration(offset.Load())) })
	want := 2
	l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, "first")
	for _, pause := range []time.Duration{1, 2, 4, 8, 10, 10} {
		offset.Add(int64(pause*time.Minute - 10*time.Second))
		l.signIn("alice@contoso.test", password)
		if n := serviceBinds(l); n != want {
			t.Fatalf("%d binds before the pause of %d min is over, want %d", n, pause, want)
		}
		offset.Add(int64(15 * time.Second))
		l.signIn("alice@contoso.test", password)
		want++ // the current password once, the other one never again
		if n := serviceBinds(l); n != want {
			t.Fatalf("%d binds after the pause of %d min, want %d", n, pause, want)
		}
	}
}

func TestServiceAccountRotation(t *testing.T) {
	var s secrets
	l := newLab(t, directorytest.Config{}, func(ad *directorytest.Directory, c *directory.Config) {
		s.write("not-yet-in-AD", ad.ServicePassword)
		s.config(ad, c)
	})
	for range 5 {
		l.want(l.signIn("alice@contoso.test", password), authn.Accepted, "with the previous password")
		l.ad.DCs[0].Disconnect(directorytest.EndReset)
		eventually(t, "closed", func() bool { return l.dir.Status()[0].Servers[0].ServiceIdle == 0 })
	}
	wrong := 0
	for _, b := range l.ad.Binds() {
		if b.DN == l.ad.ServiceDN && b.Code != 0 {
			wrong++
		}
	}
	if wrong != 1 {
		t.Errorf("%d refused binds of the service account, want 1", wrong)
	}
}

func TestServiceAccountInTroubleIsNotGuessed(t *testing.T) {
	for name, change := range map[string]func(*directorytest.User){
		"locked":   func(u *directorytest.User) { u.Locked = true },
		"disabled": func(u *directorytest.User) { u.Disabled = true },
		"expired":  func(u *directorytest.User) { u.AccountExpired = true },
	} {
		var s secrets
		l := newLab(t, directorytest.Config{}, func(ad *directorytest.Directory, c *directory.Config) {
			s.write(ad.ServicePassword, "the-other-one")
			s.config(ad, c)
		})
		if err := l.ad.Update("svc-sallyport", change); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, name)
		}
		if n := serviceBinds(l); n != 1 {
			t.Errorf("%s: %d binds, want 1", name, n)
		}
	}
}

func TestServiceAccountWithoutPassword(t *testing.T) {
	var s secrets
	s.write("")
	l := newLab(t, directorytest.Config{}, s.config)
	l.want(l.signIn("alice@contoso.test", password), authn.Unavailable, "sign-in")
	if n := len(l.ad.Binds()); n != 0 {
		t.Errorf("%d binds: an empty password is an anonymous bind", n)
	}
}
