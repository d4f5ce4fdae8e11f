package partner

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"sallyport/federation/internal/xmlsec"
)

// Bounds of an import.
const (
	maxAggregate = 100 << 20
	maxImported  = 16 << 20
)

// Importer takes entities out of a signed aggregate.
type Importer struct {
	// Certificates hold the keys of which one must have signed the aggregate.
	// Required.
	Certificates []*x509.Certificate
	// Entities are the entity ids to take out. Required.
	Entities []string
	// Now is the time at which the aggregate must be valid. Required.
	Now time.Time
	// Progress hears how many bytes were read and how many entities were seen. Nil:
	// nobody does.
	Progress func(read int64, entities int)
}

// Imported is one entity of an aggregate.
type Imported struct {
	Entity *Entity
	// Data is a document of its own that says of the entity all that the aggregate
	// says of it, its validity included. Nothing in it is signed: it is believed
	// because it is a local file.
	Data []byte
}

// Import reads an aggregate of at most 100 MiB once, from its beginning to its end,
// in memory for one entity and for what is taken out. Nothing comes out unless the
// signature is good, the aggregate has a validUntil that has not passed, and the
// entities can be registered. When some of them are not in it, the others come with
// an error that wraps [ErrAbsent].
func (i *Importer) Import(r io.Reader) ([]Imported, error) {
	a := &xmlsec.Aggregate{
		Namespace: nsMetadata, Wrapper: "EntitiesDescriptor", Rules: xmlsec.Imported(), MaxBytes: maxAggregate, MaxKept: maxImported,
		Keep: func(e *etree.Element) bool {
			id, _ := xmlsec.Attr(e, "entityID")
			return xmlsec.Is(e, nsMetadata, "EntityDescriptor") && slices.Contains(i.Entities, id)
		},
		Progress: i.Progress,
	}
	kept, err := a.Verify(r, Keys(i.Certificates), xmlsec.Profile{EmptyReference: true})
	if errors.Is(err, xmlsec.ErrSignature) {
		err = fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if err != nil {
		return nil, err
	}
	var list []Imported
	missing := slices.Clone(i.Entities)
	for _, k := range kept {
		one, err := i.take(k)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(other Imported) bool { return other.Entity.ID == one.Entity.ID }) {
			return nil, bad("entity %.200q is described twice", one.Entity.ID)
		}
		list = append(list, *one)
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == one.Entity.ID })
	}
	if len(missing) > 0 {
		return list, fmt.Errorf("%w: %.200q", ErrAbsent, missing)
	}
	return list, nil
}

// take makes a document of one entity.
func (i *Importer) take(k xmlsec.Kept) (*Imported, error) {
	if until, ok := xmlsec.Attr(k.Outer[0], "validUntil"); !ok || until == zeroUntil {
		return nil, fmt.Errorf("%w: the aggregate has no validUntil, so that an old one could be played back for ever", ErrExpired)
	}
	doc, err := xmlsec.Parse(k.Data, xmlsec.Imported())
	if err != nil {
		return nil, err
	}
	root, l := doc.Unverified(), limits{}
	for _, e := range append(slices.Clone(k.Outer), root) {
		if l, err = l.within(e, i.Now); err != nil {
			return nil, err
		}
	}
	for _, s := range xmlsec.All(root, nsSignature, "Signature") {
		root.RemoveChild(s) // it would not be good any more, and counts for nothing
	}
	root.CreateAttr("validUntil", l.until.Format(time.RFC3339))
	if l.cache > 0 {
		root.CreateAttr("cacheDuration", fmt.Sprintf("PT%dS", int(l.cache/time.Second)))
	}
	out := etree.NewDocumentWithRoot(root.Copy())
	out.WriteSettings = etree.WriteSettings{CanonicalText: true, CanonicalAttrVal: true}
	data, err := out.WriteToBytes()
	if err != nil {
		return nil, err
	}
	d, err := Read(data, Trust{Now: i.Now})
	if err != nil {
		return nil, err
	}
	if len(d.Entities) != 1 {
		return nil, bad("an entity that was asked for is no SAML 2.0 service provider")
	}
	return &Imported{Entity: d.Entities[0], Data: append(data, '\n')}, nil
}

// Write puts the document into a directory, under a name that follows from the
// entity id, unless the one that is there ends later: then it is older.
func (m *Imported) Write(dir string, now time.Time) (path string, err error) {
	path = filepath.Join(dir, FileName(m.Entity.ID))
	switch old, err := readFile(path, MaxSize); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return path, err
	default:
		d, err := Read(old, Trust{Now: now})
		if err != nil {
			break // it has ended, or is no metadata
		}
		if e, err := d.Entity(m.Entity.ID); err == nil && e.ValidUntil.After(m.Entity.ValidUntil) {
			return path, fmt.Errorf("%w: %s ends at %s, the one in the aggregate at %s", ErrOlder, path, stamp(e.ValidUntil), stamp(m.Entity.ValidUntil))
		}
	}
	return path, writeFile(path, m.Data, 0o644) // it is public, and the service's user reads it
}

// FileName makes a file name of an entity id: readable, and never the same for two.
func FileName(id string) string {
	var b strings.Builder
	dash := true
	for _, r := range strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(id), "https://"), "http://") {
		ok := r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' && b.Len() > 0
		if ok {
			b.WriteRune(r)
		} else if !dash {
			b.WriteByte('-')
		}
		if dash = !ok; b.Len() >= 60 {
			break
		}
	}
	sum := sha256.Sum256([]byte(id))
	return strings.Trim(b.String(), "-.") + "-" + hex.EncodeToString(sum[:4]) + ".xml"
}
