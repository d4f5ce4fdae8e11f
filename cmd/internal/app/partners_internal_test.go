package app

import (
	"crypto"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/cmd/internal/config"
	"sallyport/federation/metadata"
	"sallyport/federation/partner"
	"sallyport/federation/saml"
	"sallyport/federation/wsfed"
)

// meddler is a key during whose first signature something else happens.
type meddler struct {
	crypto.Signer
	once  sync.Once
	other func()
}

func (m *meddler) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	m.once.Do(m.other)
	return m.Signer.Sign(r, digest, o)
}

// TestS12_ChangedMetadataSurvivesAChangeOfKeys: parties whose metadata changes or ends
// while another key is put in force are not as before afterwards, as they would stay
// until their metadata changes once more.
func TestS12_ChangedMetadataSurvivesAChangeOfKeys(t *testing.T) {
	key, cert, err := certs.Generate("sts.contoso.test", 2048, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	parties, err := wsfed.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	before, err := saml.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Issuer, cfg.PublicURL = "http://sts.contoso.test/adfs/services/trust", "https://sts.contoso.test"
	cfg.SigninPage.Organisation = "Contoso"
	a := &App{log: slog.New(slog.DiscardHandler), metadata: &metadata.Handler{}, metadataSAML: &metadata.Handler{}}
	a.live.Store(&live{settings: cfg, keeper: partner.NewKeeper(partner.KeeperConfig{}), parties: parties, saml: before})
	changed := make(chan struct{})
	m := &meddler{Signer: key, other: func() {
		go func() { a.partnersChanged(); close(changed) }()
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // it waits for the change of keys
		}
	}}
	if err := a.applyKeys(&certs.Key{Signer: m, Certificate: cert, ID: certs.Thumbprint(cert)}, nil); err != nil {
		t.Fatal(err)
	}
	<-changed
	if l := a.live.Load(); l.saml == before || l.signer == nil {
		t.Errorf("the changed parties are lost: %v; the new key is lost: %v", l.saml == before, l.signer == nil)
	}
}
