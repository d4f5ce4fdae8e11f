package testbed_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/deploy/testbed/lab"
)

// behindEach runs a test behind each balancer, with the configuration that is
// shipped: the lab is as seen by people whose name server leads there.
func behindEach(t *testing.T, test func(*testing.T, *lab.Lab)) {
	t.Helper()
	l := lab.Require(t)
	for name, addr := range map[string]string{"HAProxy": l.HAProxyAddr, "nginx": l.ProxyAddr} {
		t.Run(name, func(t *testing.T) {
			behind := *l
			behind.ProxyAddr = addr
			test(t, &behind)
		})
	}
}

// served is how many sign-in requests the instance has answered.
func (in *instance) served() int { return strings.Count(in.log.String(), `"route":"ls"`) }

// busyWithin waits until the instance has answered more than before.
func (in *instance) busyWithin(limit time.Duration, before int) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-tick.C {
		if in.served() > before {
			return true
		}
	}
	return false
}

// useBoth waits until the balancer gives requests to both instances.
func (g *gateway) useBoth(t *testing.T, l *lab.Lab) {
	t.Helper()
	p := newPerson(t, l)
	eventually(t, 20*time.Second, "the balancer uses both instances", func() bool {
		p.open("https://sts.contoso.test/adfs/ls/?" + partyQuery.Encode())
		return g.instances[0].served() > 0 && g.instances[1].served() > 0
	})
}

// TestH13_RestartsFailNoSignIn ends and starts the instances in turn while people
// sign in, and come back without a password.
func TestH13_RestartsFailNoSignIn(t *testing.T) { behindEach(t, restartsFailNoSignIn) }

func restartsFailNoSignIn(t *testing.T, l *lab.Lab) {
	g := startGateway(t, l, 2)
	g.useBoth(t, l)
	u := l.BySAM(t, "bob")
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		for range 2 {
			for _, in := range g.instances {
				in.stop(t)
				before := in.served()
				in.launch(g)
				if !in.readyWithin(60*time.Second) || !in.busyWithin(60*time.Second, before) {
					return // the loop below reports what follows from it
				}
			}
		}
	}()
	defer func() { <-restarted }() // no instance starts after the last one was stopped
	good, lost := 0, []string{}
	note := func(what string, pg *page) {
		if pg.hasToken() {
			good++
			return
		}
		lost = append(lost, what+": "+http.StatusText(pg.status)+"\n"+pg.body)
	}
	for done := false; !done; {
		select {
		case <-restarted:
			done = true
		default:
		}
		p := newPerson(t, l)
		note("password", p.signInAt(partyQuery, u.UPN, u.Password))
		for range 2 {
			note("session", p.open("https://sts.contoso.test/adfs/ls/?"+partyQuery.Encode()))
		}
	}
	if good < 30 || len(lost) > 0 {
		t.Errorf("%d sign-ins worked, %d were lost: %v", good, len(lost), lost)
	}
}

// TestSessionSurvivesTheDeathOfItsInstance kills the instance that began it.
func TestSessionSurvivesTheDeathOfItsInstance(t *testing.T) {
	behindEach(t, sessionSurvivesTheDeathOfItsInstance)
}

func sessionSurvivesTheDeathOfItsInstance(t *testing.T, l *lab.Lab) {
	g := startGateway(t, l, 2)
	g.useBoth(t, l)
	u := l.BySAM(t, "alice")
	p := newPerson(t, l)
	p.signInAt(partyQuery, u.UPN, u.Password).token(t)
	for _, in := range g.instances {
		if err := in.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-in.done
		eventually(t, 10*time.Second, "the other instance answers", func() bool {
			return p.open("https://sts.contoso.test/adfs/ls/?" + partyQuery.Encode()).hasToken()
		})
		before := in.served()
		if err := in.launch(g); err != nil {
			t.Fatal(err)
		}
		in.waitReady(t)
		eventually(t, 20*time.Second, "the balancer uses the new instance", func() bool {
			newPerson(t, l).open("https://sts.contoso.test/adfs/ls/?" + partyQuery.Encode())
			return in.served() > before
		})
	}
	if !p.open("https://sts.contoso.test/adfs/ls/?" + partyQuery.Encode()).hasToken() {
		t.Error("the session is gone")
	}
}

func TestBalancerTellsWhoTheClientIsAndPassesLongTickets(t *testing.T) {
	behindEach(t, tellsWhoTheClientIs)
}

func tellsWhoTheClientIs(t *testing.T, l *lab.Lab) {
	g := startGateway(t, l, 1)
	p := newPerson(t, l)
	eventually(t, 10*time.Second, "the balancer has found the instance", func() bool {
		return p.open("https://sts.contoso.test/adfs/ls/?"+partyQuery.Encode()).status == http.StatusOK
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://sts.contoso.test/adfs/ls/?"+microsoftQuery.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Negotiate "+strings.Repeat("A", 88*1024))
	req.Header.Set("X-Forwarded-For", "203.0.113.9")
	req.Header.Set("Forwarded", "for=203.0.113.9")
	req.Header.Set("X-Forwarded-Host", "elsewhere.test")
	u := l.BySAM(t, "alice")
	pg := p.signIn(p.do(req), u.UPN, u.Password)
	if !pg.hasToken() {
		t.Fatalf("no token: %d\n%s", pg.status, pg.body)
	}
	records := g.instances[0].audit(t)
	if last := jsonText(t, records[len(records)-1]); !strings.Contains(last, `"client":"127.0.0.1"`) {
		t.Errorf("the client in the audit record is not the browser's address: %s", last)
	}
}
