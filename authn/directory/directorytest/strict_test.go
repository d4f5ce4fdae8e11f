package directorytest_test

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"sallyport/authn/directory/directorytest"
)

func violated(t testing.TB, d *directorytest.Directory, want string) {
	t.Helper()
	v := d.Violations()
	if len(v) != 1 || !strings.Contains(v[0], want) {
		t.Errorf("violations %q, want one with %q", v, want)
	}
}

func TestPipeliningClosesTheConnection(t *testing.T) {
	d := start(t, nil)
	alice := identity(t, d, "alice").DN
	c := dialRaw(t, d, 0)
	c.send(bindMessage(1, alice, password("alice")), bindMessage(2, alice, password("alice")))
	if id, op, code := resultOf(t, c.read()); id != 1 || op != 0x61 || code != 0 {
		t.Errorf("first answer: id %d, op %#x, code %d", id, op, code)
	}
	if got := c.read(); got != nil {
		t.Errorf("second answer: %x", got)
	}
	violated(t, d, "request 2 sent before the answer to 1")
	if got := d.DCs[0].MostOutstanding(); got != 2 {
		t.Errorf("most outstanding %d", got)
	}
}

func TestPipeliningBehindALateAnswerCloses(t *testing.T) {
	d := start(t, nil)
	gate := make(chan struct{})
	defer close(gate)
	d.DCs[0].Inject(directorytest.Fault{On: directorytest.OnSearch, Gate: gate})
	c := dialRaw(t, d, 0)
	c.send(rootMessage(1, "currentTime"))
	c.send(rootMessage(2, "currentTime"))
	if got := c.read(); got != nil {
		t.Errorf("answer %x", got)
	}
	violated(t, d, "request 2 sent before the answer")
}

func TestFastBindAnswersOutOfOrder(t *testing.T) {
	d := start(t, func(c *directorytest.Config) { c.Settings.FastBind = true })
	alice, bob := identity(t, d, "alice").DN, identity(t, d, "bob").DN
	c := dialRaw(t, d, 0)
	c.send(unhex(t, "301e02010177198017312e322e3834302e3131333535362e312e342e31373831")) // adds-ldap.md 18.7
	if id, op, code := resultOf(t, c.read()); id != 1 || op != 0x78 || code != 0 {
		t.Fatalf("mode: id %d, op %#x, code %d", id, op, code)
	}
	gate := make(chan struct{})
	d.DCs[0].Inject(directorytest.Fault{On: directorytest.OnBind, Name: alice, Gate: gate})
	c.send(bindMessage(2, alice, password("alice")), bindMessage(3, bob, password("bob")))
	if id, _, code := resultOf(t, c.read()); id != 3 || code != 0 {
		t.Errorf("first answer: id %d, code %d", id, code)
	}
	close(gate)
	if id, _, code := resultOf(t, c.read()); id != 2 || code != 0 {
		t.Errorf("second answer: id %d, code %d", id, code)
	}
	if v := d.Violations(); len(v) > 0 {
		t.Errorf("violations %q", v)
	}
	for _, b := range d.Binds() {
		if !b.Fast {
			t.Errorf("record %+v", b)
		}
	}
	c.send(message(4, tlv(0x63, tlv(4, []byte(d.BaseDN)), []byte{0x0a, 1, 2, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0},
		tlv(0x87, []byte("objectClass")), tlv(0x30, tlv(4, []byte("cn"))))))
	if _, op, code := resultOf(t, c.read()); op != 0x65 || code != 1 {
		t.Errorf("search in fast bind mode: op %#x, code %d: want 1, the connection is anonymous", op, code)
	}
}

func TestFastBindIsRefusedAfterABindAndWhereNotOffered(t *testing.T) {
	for _, offered := range []bool{true, false} {
		d := start(t, func(c *directorytest.Config) { c.Settings.FastBind = offered })
		c := dial(t, d, 0)
		if err := c.Bind(d.ServiceName, d.ServicePassword); err != nil {
			t.Fatal(err)
		}
		_, err := c.Extended(ldap.NewExtendedRequest("1.2.840.113556.1.4.1781", nil))
		want := "53"
		if !offered {
			want = "2"
		}
		if got := code(t, err); !strings.HasPrefix(got, want) {
			t.Errorf("offered=%v: %s, want %s", offered, got, want)
		}
	}
}

func TestStarAndAllAttributesClose(t *testing.T) {
	for _, attrs := range [][]string{{"*"}, {"cn", "+"}, nil} {
		d := start(t, nil)
		c := service(t, d)
		if _, err := c.Search(search(d.BaseDN, ldap.ScopeWholeSubtree, "(cn=x)", attrs...)); err == nil {
			t.Errorf("%q answered", attrs)
		}
		violated(t, d, "search for a")
	}
}

func TestUnknownCriticalControlIsRefusedAndCloses(t *testing.T) {
	d := start(t, nil)
	c := service(t, d)
	req := search(d.BaseDN, ldap.ScopeWholeSubtree, "(cn=x)", "cn")
	req.Controls = append(req.Controls, ldap.NewControlString("1.2.3.4", true, ""))
	_, err := c.Search(req)
	if got := code(t, err); !strings.HasPrefix(got, "12") {
		t.Errorf("got %s", got)
	}
	if _, err := c.Search(search("", ldap.ScopeBaseObject, "(objectClass=*)", "currentTime")); err == nil {
		t.Error("the connection lives on")
	}
	violated(t, d, "unknown critical control 1.2.3.4")

	d.DCs[0].Set(func(s *directorytest.Settings) { s.IgnoreCriticalControls = true })
	if _, err := service(t, d).Search(req); err != nil {
		t.Errorf("ignored on demand: %v", err)
	}
}

func TestBERThatIsNotMinimalCloses(t *testing.T) {
	for what, b := range map[string]string{
		"indefinite length":          "30800201014200" + "0000",
		"length not minimal":         "30810602010142810000",
		"inner length not minimal":   "300c020101" + "60810702010304008000",
		"integer not minimal":        "300602020001" + "4200",
		"messageID 0":                "30050201004200",
		"length beyond the limit":    "30847fffffff",
		"five octets of length":      "30850000000001",
		"not a sequence":             "0400",
		"bytes behind the controls":  "300a0201014200a0000400" + "00",
		"truncated inside":           "30050201014205",
		"multi-byte tag":             "30060201011f010000",
		"bind name that is not UTF8": "300d0201016008020103" + "0401ff" + "8000",
	} {
		t.Run(what, func(t *testing.T) {
			d := start(t, nil)
			c := dialRaw(t, d, 0)
			c.send(unhex(t, b))
			notice := c.read()
			if id, op, code := resultOf(t, notice); id != 0 || op != 0x78 || code != 2 {
				t.Errorf("answer %x, want a notice of disconnection", notice)
			}
			if got := c.read(); got != nil {
				t.Errorf("the connection lives on: %x", got)
			}
			violated(t, d, "malformed BER")
		})
	}
}
