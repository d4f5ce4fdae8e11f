package partner

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"net/url"
	"strings"

	"sallyport/federation/claims"
)

// Known is what a well-known service provider needs beyond what its metadata says,
// as its maker documents it.
type Known struct {
	// Name is what people call it.
	Name string
	// Sources are the pages where its maker, or else somebody who set it up, says so;
	// Read is the day on which they were read, as 2006-01-02.
	Sources []string
	Read    string
	// Hosts are hosts of its assertion consumer services; one that begins with a dot
	// stands for all below it. Path is what the path of such an address ends with, for
	// software that anybody runs under any name. One of the two decides.
	Hosts []string
	Path  string
	// Format is the value of name_id_format; empty leaves it to the metadata.
	Format string
	// NameID is what names the person there. Its zero value: the user principal name,
	// or what the format says.
	NameID claims.NameID
	// Claims are the rules that give it what it reads of a person.
	Claims []claims.Rule
	// IgnoreContext says that it asks for a password class by default although nobody
	// chose one, which keeps people out who signed in without a password (CASES C08).
	IgnoreContext bool
	// IdPInitiated says that sign-ins to it begin here, as it sends no requests.
	IdPInitiated bool
	// NeverEncrypt says that its metadata has a key that must not be encrypted to.
	NeverEncrypt bool
	// Notes tell an admin what else is to be done, one sentence each.
	Notes []string
}

// Lookup returns what is known of the service provider, nil when it is not in the
// catalogue. Its addresses decide, since entity ids are often chosen freely.
func Lookup(e *Entity) *Known {
	for _, k := range Catalogue() {
		for _, c := range e.Consumers {
			if k.at(c.URL) {
				return &k
			}
		}
	}
	return nil
}

func (k *Known) at(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	for _, h := range k.Hosts {
		if host == strings.TrimPrefix(h, ".") || strings.HasPrefix(h, ".") && strings.HasSuffix(host, h) {
			return true
		}
	}
	return k.Path != "" && strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), k.Path)
}

// catalogue has Known values as JSON, by the names of their fields.
//
//go:embed catalogue.json
var catalogue []byte

// Catalogue returns the well-known service providers. Names and addresses are those
// of their own documentation; none of them was tried against the real service.
func Catalogue() []Known {
	var list []Known
	d := json.NewDecoder(bytes.NewReader(catalogue))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		panic("partner: catalogue.json: " + err.Error()) // a part of the program; a test reads it
	}
	return list
}
