package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sallyport/authn/redisstore"
	"sallyport/certs"
	"sallyport/certs/keystore"
	"sallyport/cmd/internal/app"
	"sallyport/cmd/internal/config"
)

const whatKeys = "signing keys"

// livingKeys judges keys that have a life cycle: the record, every private key, and
// what is due.
func (r *report) livingKeys(ctx context.Context, cfg *config.Config, offline bool) {
	place := cfg.Place("signing.key_dir") + ": "
	hand, done, err := checkHand(cfg, offline)
	if err != nil {
		r.add(bad, whatKeys, err.Error(), remedyFor(err))
		return
	}
	defer done()
	l, err := hand.Store.Load(ctx)
	switch {
	case errors.Is(err, certs.ErrNoLedger) && (cfg.Signing.Generate || cfg.Signing.KeyFile != ""):
		if err := certs.CheckPlace(certs.Config{KeyFile: cfg.Signing.KeyDir + "/x"}); err != nil {
			r.add(bad, whatKeys, place+err.Error(), remedyFor(err))
			return
		}
		r.add(good, whatKeys, "the first start makes the first one, or takes signing.key_file over", "")
		return
	case errors.Is(err, certs.ErrNoLedger):
		r.add(bad, whatKeys, place+"there is none yet", "sallyport certs import FILE, or sallyport certs stage")
		return
	case err != nil:
		r.add(bad, whatKeys, place+err.Error(), remedyFor(err))
		return
	}
	r.everyKey(ctx, hand, l)
	if err := certs.NewDirStore(cfg.Signing.KeyDir).Probe(); err != nil {
		r.add(bad, whatKeys, place+err.Error(), "no key can be made, promoted or taken out until it can be written there")
	}
	if err := ownCopy(hand); err != nil {
		r.add(warn, whatKeys, err.Error(), "see to Redis")
	}
	v := hand.View(l)
	if alarm := v.Alarm(); alarm != "" {
		r.add(warn, whatKeys, alarm, "sallyport certs list shows everything")
	}
	for _, s := range v.Plan() {
		text := words(v, s)
		if !s.Due.IsZero() {
			text = dateOf(s.Due) + ": " + text
		}
		r.add(good, whatKeys, "next, "+text, "")
	}
}

// everyKey opens each private key and tries whether it belongs to its certificate.
func (r *report) everyKey(ctx context.Context, hand *certs.Hand, l *certs.Ledger) {
	for i := range l.Entries {
		e := &l.Entries[i]
		if !e.State.Listed() {
			continue
		}
		cert, err := e.X509()
		if err == nil {
			var key crypto.Signer
			if key, err = hand.Keys.Open(ctx, e.Ref); err == nil {
				_, _, err = certs.New(key, cert, hand.View(l).Now)
			}
		}
		if err != nil {
			r.add(bad, whatKeys, fmt.Sprintf("%s (%s): %v", e.ID, e.State, err), remedyFor(err))
			continue
		}
		r.add(good, whatKeys, fmt.Sprintf("%s, %s, %s", e.ID, e.State, days(cert.NotAfter)), "")
	}
}

// checkHand opens the stores; offline it looks at this instance's own copy only.
func checkHand(cfg *config.Config, offline bool) (*certs.Hand, func(), error) {
	none := func() {}
	if cfg.Signing.Share != "redis" {
		hand, err := app.SigningHand(cfg, nil, caller())
		if err == nil {
			if late, ok := hand.Keys.(*keystore.Late); ok {
				err = late.Ready()
			}
		}
		return hand, none, err
	}
	if offline {
		secret, err := cfg.Signing.KeyEncryption()
		return &certs.Hand{
			Store: certs.NewDirStore(cfg.Signing.KeyDir), Keys: keystore.NewFiles(cfg.Signing.KeyDir, secret),
			Policy: app.SigningPolicy(cfg), Parties: app.SigningParties(cfg), By: caller(),
		}, none, err
	}
	rc, err := app.RedisConfig(cfg)
	if err != nil {
		return nil, none, err
	}
	store, err := redisstore.New(rc)
	if err != nil {
		return nil, none, err
	}
	hand, err := app.SigningHand(cfg, store, caller())
	return hand, store.Close, err
}

// noKeyYet reports whether the settings have no signing key yet but would make or
// take one over at the first start.
func noKeyYet(cfg *config.Config) bool {
	s := cfg.Signing
	if s.Living() {
		_, err := certs.NewDirStore(s.KeyDir).Load(context.Background())
		return errors.Is(err, certs.ErrNoLedger) && s.Share != "redis"
	}
	_, err := os.Stat(s.KeyFile)
	return s.Generate && errors.Is(err, fs.ErrNotExist)
}
