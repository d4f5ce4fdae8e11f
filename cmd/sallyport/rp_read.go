package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"sallyport/federation/partner"
)

// entity reads the one service provider that a document describes, or that is chosen.
func (r *rpRun) entity(ctx context.Context, from string) (*partner.Entity, error) {
	certs, err := r.certificates(r.cert)
	if err != nil {
		return nil, err
	}
	data, err := r.fetch(ctx, from)
	if err != nil {
		return nil, err
	}
	doc, err := partner.Read(data, partner.Trust{Certificates: certs, Now: time.Now()})
	if err != nil {
		return nil, err
	}
	return r.choose(doc)
}

// printCertificates is rp certificates: the keys that a party signs with, as a file of
// settings wants them.
func (r *rpRun) printCertificates(ctx context.Context, rest []string) int {
	if len(rest) != 1 || len(r.entities) > 1 {
		return r.usage("certificates needs the metadata, a file or an https address, and takes one --entity")
	}
	e, err := r.entity(ctx, rest[0])
	if err == nil && len(e.Signing) == 0 {
		err = errors.New("it has no certificate that messages could be verified with")
	}
	if err != nil {
		return r.fail(fmt.Errorf("%s: %w", rest[0], err))
	}
	for _, c := range e.Signing {
		block := &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}
		fmt.Fprintf(r.stdout, "# %s, until %s\n%s", clean(c.Subject.String()), c.NotAfter.UTC().Format(time.DateOnly), pem.EncodeToMemory(block))
	}
	return exitGood
}

func (r *rpRun) fetch(ctx context.Context, from string) ([]byte, error) {
	if !isAddress(from) {
		info, err := os.Stat(from)
		if err != nil {
			return nil, err
		}
		if info.Size() > partner.MaxSize {
			return nil, fmt.Errorf("it has %d bytes; an aggregate is taken apart by: sallyport rp import", info.Size())
		}
		return os.ReadFile(from)
	}
	c, err := r.client()
	if err != nil {
		return nil, err
	}
	data, _, err := c.Get(ctx, from, partner.Tag{})
	return data, err
}

// choose takes the entity that is meant.
func (r *rpRun) choose(doc *partner.Document) (*partner.Entity, error) {
	switch {
	case len(r.entities) == 1:
		return doc.Entity(r.entities[0])
	case len(doc.Entities) == 1:
		return doc.Entities[0], nil
	case len(doc.Entities) == 0 && doc.Others > 0:
		return nil, errors.New("it describes no SAML 2.0 service provider; an identity provider's or a WS-Federation party's metadata is not meant here")
	case len(doc.Entities) == 0:
		return nil, errors.New("it describes nobody")
	}
	var ids []string
	for _, e := range doc.Entities[:min(len(doc.Entities), 20)] {
		ids = append(ids, e.ID)
	}
	return nil, fmt.Errorf("it describes %d service providers: choose one with --entity: %s", len(doc.Entities), strings.Join(ids, " "))
}
