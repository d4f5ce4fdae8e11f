package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/certs/certstest"
)

const oneDay = 24 * time.Hour

// scene is a state of the keys at noon of 2026-11-26.
type scene struct {
	t       *testing.T
	now     time.Time
	entries []certs.Entry
}

// add adds a key whose certificate ends in some days and that has been in its state for
// some; it returns what an admin writes for it.
func (s *scene) add(state certs.State, ends, since int, change func(*certs.Entry)) string {
	s.t.Helper()
	n := len(s.entries)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(n + 1)), Subject: pkix.Name{CommonName: "ADFS Signing - sts.contoso.test"},
		NotBefore: s.now.Add(-400 * oneDay), NotAfter: s.now.Add(time.Duration(ends) * oneDay),
	}
	key := certstest.Key(n % 2)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	e := certs.Entry{
		ID: certs.Thumbprint(c), Ref: fmt.Sprint("key", n), Certificate: der, State: state, Origin: certs.Generated,
		Since: s.now.Add(-time.Duration(since) * oneDay), Exposed: certs.Duration(time.Duration(since) * oneDay), Knows: map[string]certs.Sighting{},
	}
	if change != nil {
		change(&e)
	}
	s.entries = append(s.entries, e)
	return brief(e.ID)
}

// view is what one instance, which has loaded every key but those in lacks, makes of it.
func (s *scene) view(p certs.Policy, parties []certs.Party, lacks string) certs.View {
	i := certs.Instance{Seen: s.now.Add(-20 * time.Second)}
	for _, e := range s.entries {
		if e.State == certs.Signing {
			i.Signs = e.ID
		}
		if e.State.Listed() && brief(e.ID) != lacks {
			i.Loaded = append(i.Loaded, e.ID)
		}
	}
	running := map[string]certs.Instance{"gw1": i}
	return certs.View{Ledger: &certs.Ledger{Entries: s.entries, Instances: running}, Policy: p, Parties: parties, Running: running, Now: s.now}
}

// The list says in every state what happens next, when, and what an admin has to do.
func TestCertsListInEveryState(t *testing.T) {
	t.Parallel()
	seen := func(at time.Time, how map[string]string) func(*certs.Entry) {
		return func(e *certs.Entry) {
			for party, h := range how {
				e.Knows[party] = certs.Sighting{At: at, How: h}
			}
		}
	}
	parties := []certs.Party{{Key: "contoso.test", Pushed: true}, {Key: "wiki"}}
	tests := map[string]struct {
		make func(s *scene) (certs.View, []string)
	}{
		"calm": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 200, 165, nil)
			return s.view(certs.Policy{}, parties, ""), []string{
				"2027-04-30  the next key is made and its certificate published, by itself; it signs 15 to 25 days later",
				"2027-05-30  an alarm", "2027-06-14  the certificate that signs now ends",
			}
		}},
		"imported": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 90, 0, func(e *certs.Entry) { e.Origin = certs.Imported })
			return s.view(certs.Policy{}, parties, ""), []string{"signs every token (it was imported)", "2027-01-10  the next key is made"}
		}},
		"nobody runs": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 40, 165, nil)
			v := s.view(certs.Policy{}, parties, "")
			v.Running, v.Ledger.Instances = nil, nil
			return v, []string{"none has reported yet: start the service", "waiting     the next key is made", "waits for: no instance is running: start the service"}
		}},
		"staged, not loaded everywhere": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 45, 320, nil)
			id := s.add(certs.Staged, 365, 0, nil)
			return s.view(certs.Policy{}, parties, id), []string{"waiting     " + id + " becomes published", "waits for: instances that have not loaded it: gw1"}
		}},
		"staged": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 45, 320, nil)
			id := s.add(certs.Staged, 365, 0, nil)
			return s.view(certs.Policy{}, parties, ""), []string{"now         " + id + " becomes published: every instance lists it in the metadata, by itself"}
		}},
		"published, a slow party": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 25, 320, nil)
			id := s.add(certs.Published, 365, 20, seen(s.now.Add(-9*oneDay), map[string]string{"contoso.test": certs.Proved}))
			return s.view(certs.Policy{}, parties, ""), []string{
				"read back, and a token was proved on 2026-11-17", "not seen                    not seen to read the metadata; it is given until 2026-12-01",
				"2026-12-01  " + id + " begins to sign, and the key before it is retired, by itself",
			}
		}},
		"published, not accepted": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 25, 320, nil)
			s.add(certs.Published, 365, 30, seen(s.now.Add(-9*oneDay), map[string]string{"contoso.test": certs.ReadBack}))
			return s.view(certs.Policy{}, parties, ""), []string{
				"read back on 2026-11-17, but a token of its key was not accepted", "it has had its time",
				"waits for: contoso.test: holds this certificate, but a token of its key was not accepted when it was tried",
			}
		}},
		"blocked, within the alarm": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 12, 353, nil)
			id := s.add(certs.Published, 365, 33, nil)
			return s.view(certs.Policy{}, append(parties, certs.Party{Key: "hr", Single: true}, certs.Party{Key: "fabrikam.test", ByHand: true}), ""), []string{
				"ALARM: the token-signing certificate", "ends on 2026-12-08, in 12 days",
				"waits for: contoso.test: was not read back to hold this certificate (sallyport domain check contoso.test)",
				"waits for: hr holds one certificate only: agree a moment with it, then promote by hand",
				"waits for: fabrikam.test: nobody said that it holds this certificate (sallyport certs told " + id + " fabrikam.test)",
			}
		}},
		"promoted": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 330, 0, nil)
			id := s.add(certs.Retired, 14, 0, nil)
			return s.view(certs.Policy{}, parties, ""), []string{"2026-11-27  " + id + " is taken out of the metadata and its private key destroyed, by itself", "2027-09-07  the next key is made and its certificate published, by itself"}
		}},
		"just after an emergency": {func(s *scene) (certs.View, []string) {
			s.add(certs.Gone, 100, 0, func(e *certs.Entry) { e.Stolen = true })
			id := s.add(certs.Signing, 365, 0, func(e *certs.Entry) {
				e.Hurried = true
				seen(s.now, map[string]string{"contoso.test": certs.Proved})(e)
			})
			s.add(certs.Published, 730, 0, nil)
			return s.view(certs.Policy{}, append(parties, certs.Party{Key: "fabrikam.test", ByHand: true}, certs.Party{Key: "hr", Single: true}), ""), []string{
				"ALARM: " + id + " signs since 2026-11-26, and people cannot sign in to a relying party that does not hold its certificate: wiki: was not seen",
				"RELYING PARTY  KNOWS THE CERTIFICATE THAT SIGNS NOW  WHY\ncontoso.test   yes                                   read back, and a token was proved on 2026-11-26",
				"fabrikam.test  no                                    put it there (sallyport domain script update fabrikam.test), then sallyport certs told " + id + " fabrikam.test",
				"hr             no                                    not known: tell it (sallyport certs export), then sallyport certs told " + id + " hr",
				"now         " + id + " signs already: people cannot sign in to a relying party that does not hold its certificate",
				"waits for: wiki: was not seen to read the metadata (if it holds the certificate: sallyport certs told " + id + " wiki)",
			}
		}},
		"after an emergency": {func(s *scene) (certs.View, []string) {
			s.add(certs.Gone, 100, 0, func(e *certs.Entry) { e.Stolen = true })
			s.add(certs.Signing, 365, 0, nil)
			id := s.add(certs.Published, 730, 0, nil)
			return s.view(certs.Policy{}, parties, ""), []string{"given up for stolen; its key is destroyed", "2027-10-27  " + id + " begins to sign", "sallyport domain check contoso.test"}
		}},
		"manual": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 40, 325, nil)
			return s.view(certs.Policy{Manual: true}, parties, ""), []string{"rotation is manual", "now         you: sallyport certs stage (the next key is made"}
		}},
		"manual, ready": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 20, 345, nil)
			s.add(certs.Published, 365, 30, seen(s.now, map[string]string{"contoso.test": certs.Proved, "wiki": certs.Fetched}))
			return s.view(certs.Policy{Manual: true}, parties, ""), []string{"now         you: sallyport certs promote (", "2026-12-01  an alarm"}
		}},
		"expired": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, -3, 368, nil)
			return s.view(certs.Policy{}, parties, ""), []string{"ended on 2026-11-23: relying parties refuse its tokens", "the way out: sallyport certs stage", "sallyport certs promote --force", "now         the next key is made"}
		}},
		"the next one has expired": {func(s *scene) (certs.View, []string) {
			s.add(certs.Signing, 10, 355, nil)
			id := s.add(certs.Published, -1, 365, nil)
			return s.view(certs.Policy{}, parties, ""), []string{"waits for: its certificate expired on 2026-11-25: sallyport certs retire " + id + ", then sallyport certs stage"}
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, want := tt.make(&scene{t: t, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)})
			var out bytes.Buffer
			overviewOf(v).print(&out)
			for _, w := range want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("it does not say %q", w)
				}
			}
			if t.Failed() {
				t.Log(out.String())
			}
			text, err := json.Marshal(overviewOf(v))
			var back struct {
				AlarmFrom time.Time `json:"alarm_from"`
				Ends      time.Time
				Next      []struct{ Text string }
			}
			if err == nil {
				err = json.Unmarshal(text, &back)
			}
			if err != nil || len(back.Next) == 0 || back.Next[0].Text == "" || back.Ends.Sub(back.AlarmFrom) != 15*oneDay {
				t.Errorf("JSON: %v, %s", err, text)
			}
		})
	}
}
