package app_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/certs/keystore"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/demo"
)

const fixedPair = "signing: {key_file: signing/key.pem, certificate_file: signing/certificate.pem, generate: true}"

// living gives the demo's gateway a directory of keys.
func living(text string) string {
	return strings.Replace(text, fixedPair, "signing: {key_dir: signing, generate: true, instance: one}", 1)
}

// briskly looks at the keys often, by a clock that the test puts forward.
type briskly struct{ ahead atomic.Int64 }

func (b *briskly) now() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

// announced is past when what was promoted signs.
func (b *briskly) announced() { b.ahead.Add(int64(20 * time.Second)) }

func (b *briskly) gateway(o *app.Options) { o.SigningPoll, o.Now = 20*time.Millisecond, b.now }

// hand is what an admin's commands do.
func (h *house) hand() *certs.Hand {
	dir := filepath.Join(h.Dir, "signing")
	return &certs.Hand{Store: certs.NewDirStore(dir), Keys: keystore.NewFiles(dir, nil), Host: "sts.contoso.test", By: "alice@admin",
		Parties: []certs.Party{{Key: "contoso.test", ByHand: true}}}
}

// metadata is the document as a party reads it.
func (h *house) metadata(t *testing.T) string {
	t.Helper()
	b := h.Browser()
	defer b.Close()
	return h.open(t, b, strings.TrimSuffix(h.SignInURL(), "/adfs/ls/")+"/FederationMetadata/2007-06/FederationMetadata.xml").Body
}

// place is where the metadata lists a certificate first, -1 for nowhere.
func place(metadata string, c *x509.Certificate) int {
	return strings.Index(metadata[strings.Index(metadata, "</ds:Signature>"):], base64.StdEncoding.EncodeToString(c.Raw))
}

func TestC23_KeysChangeWhilePeopleSignIn(t *testing.T) {
	t.Parallel()
	clock := &briskly{}
	h := open(t, demo.Options{Settings: living, Gateway: clock.gateway})
	b := h.Browser()
	defer b.Close()
	h.signIn(t, b, "alice")
	first := h.Gateway.SigningCertificates()[0]
	staged, err := h.hand().Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next certificate is listed", 20*time.Second, func() bool { return len(h.Gateway.SigningCertificates()) == 2 })
	next := h.Gateway.SigningCertificates()[1]
	if next.ID != staged.ID {
		t.Fatalf("%s is listed beside %s", next.ID, first.ID)
	}
	if m := h.metadata(t); place(m, first.Certificate) < 0 || place(m, next.Certificate) < place(m, first.Certificate) || strings.Contains(m, "KeyName") {
		t.Error("the metadata does not list what signs now first and the next one behind it")
	}
	eventually(t, "the instance has told that it has loaded it", 20*time.Second, func() bool {
		l, err := h.hand().Store.Load(t.Context())
		return err == nil && slices.Contains(l.Instances["one"].Loaded, staged.ID)
	})
	if _, err := h.hand().Promote(t.Context(), "", false); err == nil || !strings.Contains(err.Error(), "contoso.test") {
		t.Errorf("a promotion that nobody is ready for: %v", err)
	}
	if _, err := h.hand().Promote(t.Context(), "", true); err != nil {
		t.Fatal(err)
	}
	clock.announced()
	eventually(t, "it signs", 40*time.Second, func() bool { return h.Gateway.SigningCertificates()[0].ID == staged.ID })
	if m := h.metadata(t); place(m, next.Certificate) < 0 || place(m, first.Certificate) < place(m, next.Certificate) {
		t.Error("the order in the metadata did not change with the signer")
	}
	// Microsoft was not told: the stand-in refuses, and says that it is the key.
	c := h.Browser()
	defer c.Close()
	u := h.User("alice")
	p, err := c.HandOver(t.Context(), h.password(t, c, h.signInPage(t, c, u.UPN), u.Password))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.ID("why"); !strings.Contains(got, staged.ID) {
		t.Errorf("signed by %s? %s", staged.ID, got)
	}
	for code, key := range map[string]string{"SP511": staged.ID, "SP512": staged.ID, "SP513": staged.ID} {
		h.event(t, map[string]any{"code": code, "key_id": key})
	}
	if status, body := h.readiness(t); status != 200 {
		t.Errorf("%d: %s", status, body)
	}
}

func TestC03_InstanceWithoutTheFleetsKeyIsNotReady(t *testing.T) {
	t.Parallel()
	clock := &briskly{}
	h := open(t, demo.Options{Settings: living, Gateway: clock.gateway})
	staged, err := h.hand().Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "promoted", 20*time.Second, func() bool {
		_, err := h.hand().Promote(t.Context(), "", true)
		return err == nil
	})
	clock.announced()
	eventually(t, "it signs", 40*time.Second, func() bool { return h.Gateway.SigningCertificates()[0].ID == staged.ID })
	// The fleet goes on to a key that this instance cannot read.
	elsewhere := h.hand()
	elsewhere.Keys = keystore.NewFiles(filepath.Join(t.TempDir(), "keys"), nil)
	signs, _, err := elsewhere.Emergency(t.Context(), "drill")
	if err != nil {
		t.Fatal(err)
	}
	// What it tells the others it says to the balancer too.
	eventually(t, "it has noticed", 20*time.Second, func() bool {
		l, err := h.hand().Store.Load(t.Context())
		return err == nil && l.Instances["one"].Trouble != ""
	})
	status, body := h.readiness(t)
	if status != 503 {
		t.Fatalf("%d: %s", status, body)
	}
	var ready struct {
		Checks []struct{ Name, Reason string }
	}
	if err := json.Unmarshal([]byte(body), &ready); err != nil || !strings.Contains(body, signs.ID) {
		t.Errorf("%v: the answer does not name %s: %s", err, signs.ID, body)
	}
}
