package wstrust_test

import (
	"bytes"
	"encoding/xml"
	"net/http/httptest"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"sallyport/federation/wstrust"
)

func getMex(t *testing.T, g *rig, path, from string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return g.do(httptest.NewRequest("GET", public+path, nil), from, headers...)
}

var endpoints = []string{
	public + "/adfs/services/trust/2005/usernamemixed", public + "/adfs/services/trust/13/usernamemixed",
}

func TestMexIsServedForCaches(t *testing.T) {
	g := newRig(t, nil)
	w := getMex(t, g, "/ADFS/services/trust/Mex", outsider)
	h := w.Header()
	if w.Code != 200 || h.Get("Content-Type") != "text/xml; charset=utf-8" || h.Get("Cache-Control") != "private, max-age=300" || h.Get("Etag") == "" {
		t.Fatalf("%d %v", w.Code, h)
	}
	if again := getMex(t, newRig(t, nil), wstrust.MexPath, colleague); !bytes.Equal(again.Body.Bytes(), w.Body.Bytes()) {
		t.Error("two instances serve two documents")
	}
	if same := getMex(t, g, wstrust.MexPath, outsider, "If-None-Match: "+h.Get("Etag")); same.Code != 304 || same.Body.Len() != 0 {
		t.Errorf("unchanged: %d", same.Code)
	}
	if w := g.do(httptest.NewRequest("HEAD", public+wstrust.MexPath, nil), outsider); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
	if w := getMex(t, g, wstrust.MexPath+"?xsd=xsd0", outsider); w.Code != 404 {
		t.Errorf("schema: %d", w.Code)
	}
	// Go's client sends a content type on a GET.
	if w := getMex(t, g, wstrust.MexPath+"?x=y", outsider, "Content-Type: application/xml"); w.Code != 200 {
		t.Errorf("with a content type: %d", w.Code)
	}
	w = getMex(t, g, wstrust.MexPath, outsider, "Host: evil.test", "X-Forwarded-Host: evil.test")
	if strings.Contains(w.Body.String(), "evil") {
		t.Error("an address was made from the request")
	}
}

// TestT09_MexListsWhatTheRouterServes sends a message to every address that the
// document names, and looks for every route in the document.
func TestT09_MexListsWhatTheRouterServes(t *testing.T) {
	g := newRig(t, nil)
	doc := getMex(t, g, wstrust.MexPath, outsider).Body.String()
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`https://[^"<]+/adfs/[^"<]*`).FindAllString(doc, -1) {
		found[m] = true
	}
	var list []string
	for m := range found {
		list = append(list, m)
	}
	sort.Strings(list)
	if strings.Join(list, " ") != endpoints[1]+" "+endpoints[0] {
		t.Errorf("the document names %q", list)
	}
	for _, v := range wstrust.Versions() {
		u, err := url.Parse(public + v.Path())
		if err != nil || !found[u.String()] {
			t.Errorf("%v is not in the document", v)
		}
		if w := g.send(message{version: v, to: u.String()}.String(), v, outsider); w.Code != 200 {
			t.Errorf("%s is listed and answers %d", u, w.Code)
		}
	}
	for _, other := range []string{"windowstransport", "certificatemixed", "kerberosmixed", "issuedtokenmixedsymmetricbasic256"} {
		if strings.Contains(doc, other) {
			t.Errorf("%s is listed", other)
		}
		if w := g.do(httptest.NewRequest("POST", public+"/adfs/services/trust/13/"+other, strings.NewReader(message{}.String())), outsider); w.Code != 404 {
			t.Errorf("%s answers %d", other, w.Code)
		}
	}
}

const (
	sp05 = "http://schemas.xmlsoap.org/ws/2005/07/securitypolicy"
	sp07 = "http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702"
	wsp  = "http://schemas.xmlsoap.org/ws/2004/09/policy"
)

// TestC12_MexReadInThreeWays reads the document as three kinds of client do; each
// must find both addresses, and each by another path.
func TestC12_MexReadInThreeWays(t *testing.T) {
	body := getMex(t, newRig(t, nil), wstrust.MexPath, outsider).Body.Bytes()
	for name, read := range map[string]func(*testing.T, []byte) map[string]string{
		"by path and namespace": byPath, "by local names": byLocalName, "by literal names": byLiteral,
	} {
		got := read(t, body)
		if len(got) != 2 || got[trust05] != endpoints[0] || got[trust13] != endpoints[1] {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, pattern := range map[string]string{
		"SOAP 1.1 binding": `http://schemas.xmlsoap.org/wsdl/soap/`, "white space in an address": `<wsa10:Address>\s|\s</wsa10:Address>`,
		"a DTD": `<!DOCTYPE`, "a second service": `(?s)<wsdl:service.*<wsdl:service`, "TransportBinding without xmlns:sp": `<sp:TransportBinding>`,
	} {
		if regexp.MustCompile(pattern).Match(body) {
			t.Errorf("%s is in the document", name)
		}
	}
}

func is(e *etree.Element, ns, tag string) bool { return e.Tag == tag && e.NamespaceURI() == ns }

func only(t *testing.T, e *etree.Element, path ...string) *etree.Element {
	for i := 0; i < len(path); i += 2 {
		var found []*etree.Element
		for _, c := range e.ChildElements() {
			if is(c, path[i], path[i+1]) {
				found = append(found, c)
			}
		}
		if len(found) != 1 {
			return nil
		}
		e = found[0]
	}
	return e
}

// byPath is how Python and Java go: policy by its whole path, binding by its
// action, port by the name after the colon.
func byPath(t *testing.T, body []byte) map[string]string {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(body); err != nil {
		t.Fatal(err)
	}
	root := doc.Root()
	policies := map[string]string{}
	for _, p := range root.ChildElements() {
		if !is(p, wsp, "Policy") {
			continue
		}
		all := only(t, p, wsp, "ExactlyOne", wsp, "All")
		for sp, outer := range map[string]string{sp05: "SignedSupportingTokens", sp07: "SignedEncryptedSupportingTokens"} {
			if only(t, all, sp, outer, wsp, "Policy", sp, "UsernameToken", wsp, "Policy", sp, "WssUsernameToken10") != nil && only(t, all, sp, "TransportBinding") != nil {
				policies["#"+p.SelectAttrValue("wsu:Id", "")] = sp
			}
		}
	}
	actions := map[string]string{}
	for _, b := range root.SelectElements("wsdl:binding") {
		soap, op := b.SelectElement("soap12:binding"), b.FindElement("wsdl:operation/soap12:operation")
		if soap == nil || op == nil || soap.SelectAttrValue("transport", "") != "http://schemas.xmlsoap.org/soap/http" {
			t.Errorf("binding %s", b.SelectAttrValue("name", ""))
			continue
		}
		action := op.SelectAttrValue("soapAction", "")
		want := map[string]string{sp05: trust05 + "/RST/Issue", sp07: trust13 + "/RST/Issue"}[policies[b.SelectElement("wsp:PolicyReference").SelectAttrValue("URI", "")]]
		if action == want {
			actions[b.SelectAttrValue("name", "")] = strings.TrimSuffix(action, "/RST/Issue")
		}
	}
	got := map[string]string{}
	for _, p := range root.FindElements("wsdl:service/wsdl:port") {
		binding := p.SelectAttrValue("binding", "")
		addr := p.FindElement("wsa10:EndpointReference/wsa10:Address")
		if addr == nil || !strings.HasPrefix(addr.Text(), "https://") {
			t.Errorf("port %s has no address", binding)
			continue
		}
		got[actions[binding[strings.LastIndex(binding, ":")+1:]]] = addr.Text()
	}
	return got
}

// byLocalName is how Go goes: structs without namespaces, and xmlns:sp as an
// attribute of the element itself.
func byLocalName(t *testing.T, body []byte) map[string]string {
	type tokens struct {
		SP   string `xml:"sp,attr"`
		User struct {
			Word *struct{} `xml:"Policy>WssUsernameToken10"`
		} `xml:"Policy>UsernameToken"`
	}
	var doc struct {
		XMLName  xml.Name `xml:"definitions"`
		Policies []struct {
			ID  string `xml:"Id,attr"`
			All struct {
				Transport struct {
					SP string `xml:"sp,attr"`
				} `xml:"TransportBinding"`
				Old tokens `xml:"SignedSupportingTokens"`
				New tokens `xml:"SignedEncryptedSupportingTokens"`
			} `xml:"ExactlyOne>All"`
		} `xml:"Policy"`
		Bindings []struct {
			Name string `xml:"name,attr"`
			Ref  struct {
				URI string `xml:"URI,attr"`
			} `xml:"PolicyReference"`
			Binding struct {
				Transport string `xml:"transport,attr"`
			} `xml:"binding"`
			Operation struct {
				Operation struct {
					Action string `xml:"soapAction,attr"`
				} `xml:"operation"`
			} `xml:"operation"`
		} `xml:"binding"`
		Ports []struct {
			Binding string `xml:"binding,attr"`
			Address string `xml:"EndpointReference>Address"`
		} `xml:"service>port"`
	}
	if err := xml.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	policies := map[string]string{}
	for _, p := range doc.Policies {
		switch {
		case p.All.Transport.SP == sp05 && p.All.Old.User.Word != nil:
			policies["#"+p.ID] = trust05
		case p.All.Transport.SP == sp07 && p.All.New.User.Word != nil:
			policies["#"+p.ID] = trust13
		default:
			t.Errorf("policy %s is not understood", p.ID)
		}
	}
	names := map[string]string{}
	for _, b := range doc.Bindings {
		ns := policies[b.Ref.URI]
		if b.Operation.Operation.Action != ns+"/RST/Issue" || b.Binding.Transport == "" {
			t.Errorf("binding %s: %q", b.Name, b.Operation.Operation.Action)
		}
		names[b.Name] = ns
	}
	got := map[string]string{}
	for _, p := range doc.Ports {
		_, name, _ := strings.Cut(p.Binding, ":")
		got[names[name]] = strings.TrimSpace(p.Address)
	}
	return got
}

// byLiteral is how scripts go: text between fixed marks.
func byLiteral(_ *testing.T, body []byte) map[string]string {
	got := map[string]string{}
	for name, ns := range map[string]string{"UserNameWSTrustBinding_IWSTrustFeb2005Async": trust05, "UserNameWSTrustBinding_IWSTrust13Async": trust13} {
		m := regexp.MustCompile(`<wsdl:port name="` + name + `" binding="tns:` + name + `"><soap12:address location="([^"]*)"/><wsa10:EndpointReference><wsa10:Address>([^<]*)<`).FindSubmatch(body)
		if m != nil && string(m[1]) == string(m[2]) {
			got[ns] = string(m[1])
		}
	}
	return got
}

func TestMexIsTheMinimalSample(t *testing.T) {
	fold := func(s string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("\r", "", "\n", " ", `?> <`, `?><`, "> <", "><").Replace(s)), " ")
	}
	want := fold(sample(t, "mex_minimal.xml"))
	want = strings.ReplaceAll(want, "> <", "><")
	got := strings.ReplaceAll(fold(getMex(t, newRig(t, nil), wstrust.MexPath, outsider).Body.String()), "> <", "><")
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
