package certs_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"sallyport/certs"
	"sallyport/certs/certstest"
	"sallyport/certs/keystore"
)

// policy is the default but for instances, which in these tests report rarely.
var policy = certs.Policy{Live: 40 * time.Hour, RetireFor: 24 * time.Hour}

// node is one instance of a fleet.
type node struct {
	*certs.Manager
	name   string
	store  *certs.DirStore
	keys   *certstest.Keys
	events []certs.Event
}

// fleet is instances that share a directory, with the parties around them.
type fleet struct {
	t       testing.TB
	dir     string
	clock   *certstest.Clock
	domain  *certstest.Domain
	parties []certs.Party
	policy  certs.Policy
	nodes   []*node
	// reader is a party that reads metadata on its own: what it held last.
	reader []*certs.Key
}

const domainName = "contoso.test"

func newFleet(t testing.TB, names ...string) *fleet {
	t.Helper()
	f := &fleet{
		t: t, dir: privateDir(t), clock: certstest.NewClock(now), domain: certstest.NewDomain(), policy: policy,
		parties: []certs.Party{{Key: domainName, Pushed: true}, {Key: "wiki"}},
	}
	for _, n := range names {
		f.start(n)
	}
	return f
}

// boot makes an instance without starting it.
func (f *fleet) boot(name string) *node {
	f.t.Helper()
	n := &node{name: name, store: certs.NewDirStore(f.dir), keys: &certstest.Keys{KeyStore: keystore.NewFiles(f.dir, nil)}}
	n.store.SetNow(func() time.Time { return time.Now().Add(2 * time.Hour) }) // so that versions are pruned
	m, err := certs.NewManager(certs.ManagerConfig{
		Store: n.store, Keys: n.keys, Instance: name, Policy: f.policy, Host: "sts.contoso.test",
		Parties: func() []certs.Party { return f.parties }, Trust: f.domain, Prove: certstest.Accepts,
		Apply:    func(*certs.Key, []*certs.Key) error { return nil },
		Audit:    func(_ context.Context, e certs.Event) error { n.events = append(n.events, e); return nil },
		Generate: true, Now: f.clock.Now, Steady: f.clock.Steady,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	n.Manager = m
	return n
}

// start boots an instance and puts it into the fleet, in the place of one of its
// name.
func (f *fleet) start(name string) *node {
	f.t.Helper()
	n := f.boot(name)
	if err := n.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.nodes = append(slices.DeleteFunc(f.nodes, func(o *node) bool { return o.name == name }), n)
	return n
}

// round lets every instance step once, and the parties look.
func (f *fleet) round() {
	f.t.Helper()
	for range 2 { // what one instance changes the others see the next time
		for _, n := range f.nodes {
			_ = n.Step(f.t.Context())
			_ = n.Tell(f.t.Context())
		}
		f.clock.Pass(20 * time.Second)
	}
	f.judge()
}

// judge is what must hold at every moment: each instance signs with a key that every
// party accepts and every instance lists.
func (f *fleet) judge() {
	f.t.Helper()
	for _, n := range f.nodes {
		signs := n.Keys().Current()
		if slots, _ := f.domain.Slots(f.t.Context(), domainName); slots.Current != nil && !f.domain.Holds(domainName, signs.Certificate) {
			f.t.Fatalf("%s: %s signs with %s, which %s does not hold", f.clock.Now(), n.name, signs.ID, domainName)
		}
		if f.reader != nil && !slices.ContainsFunc(f.reader, func(k *certs.Key) bool { return k.ID == signs.ID }) {
			f.t.Fatalf("%s: %s signs with %s, which a reader of metadata does not hold", f.clock.Now(), n.name, signs.ID)
		}
		for _, o := range f.nodes {
			if !slices.ContainsFunc(o.Keys().Published(), func(k *certs.Key) bool { return k.ID == signs.ID }) {
				f.t.Fatalf("%s: %s signs with %s, which %s does not list", f.clock.Now(), n.name, signs.ID, o.name)
			}
		}
	}
}

// read lets the reader read the metadata of one instance.
func (f *fleet) read() { f.reader = f.nodes[0].Keys().Published() }

func (f *fleet) ledger() *certs.Ledger {
	f.t.Helper()
	l, err := certs.NewDirStore(f.dir).Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

func (f *fleet) trust() {
	f.domain.Set(domainName, certs.Slots{Current: f.nodes[0].Keys().Current().Certificate})
	f.read()
}

func (f *fleet) hand() *certs.Hand {
	return &certs.Hand{
		Store: certs.NewDirStore(f.dir), Keys: &certstest.Keys{KeyStore: keystore.NewFiles(f.dir, nil)}, Policy: f.policy, Parties: f.parties,
		Host: "sts.contoso.test", By: "alice@admin", Now: f.clock.Now,
	}
}

const halfDay = 12 * time.Hour

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
