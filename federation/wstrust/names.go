package wstrust

// The namespaces and values of the messages.
const (
	nsSOAP   = "http://www.w3.org/2003/05/soap-envelope"
	nsWSA    = "http://www.w3.org/2005/08/addressing"
	nsWSU    = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	nsWSSE   = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	nsWSSE11 = "http://docs.oasis-open.org/wss/oasis-wss-wssecurity-secext-1.1.xsd"
	nsPolicy = "http://schemas.xmlsoap.org/ws/2004/09/policy"
	nsTrust5 = "http://schemas.xmlsoap.org/ws/2005/02/trust"
	nsTrust3 = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"

	anonymous     = nsWSA + "/anonymous"
	passwordText  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText"
	samlProfile10 = "http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.0"
	samlProfile11 = "http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.1"
	tokenSAML11   = "urn:oasis:names:tc:SAML:1.0:assertion"
	tokenSAML20   = "urn:oasis:names:tc:SAML:2.0:assertion"
	bearer        = nsTrust3 + "/Bearer"
	noProofKey    = "http://schemas.xmlsoap.org/ws/2005/05/identity/NoProofKey"
)

// base is what all paths of this package begin with.
const base = "/adfs/services/trust/"

// MexPath is where the metadata of the active endpoints is.
const MexPath = base + "mex"

// Version is one edition of WS-Trust with its endpoint.
type Version uint8

// The editions.
const (
	Feb2005 Version = iota // WS-Trust February 2005
	Trust13                // WS-Trust 1.3
)

// Versions are all editions, in the order in which MEX lists them.
func Versions() []Version { return []Version{Feb2005, Trust13} }

// edition is what differs between the editions.
type edition struct {
	name      string // in routes, metrics and paths
	ns        string
	keyType   string // of the answer
	prefix    string // of the answer's trust elements
	response  string // the answer's action
	wrapStart string // the collection of WS-Trust 1.3 §4.4.2
	wrapEnd   string
}

var editions = [...]edition{
	Feb2005: {name: "2005", ns: nsTrust5, keyType: noProofKey, prefix: "t", response: nsTrust5 + "/RSTR/Issue"},
	Trust13: {
		name: "13", ns: nsTrust3, keyType: bearer, prefix: "trust", response: nsTrust3 + "/RSTRC/IssueFinal",
		wrapStart: `<trust:RequestSecurityTokenResponseCollection xmlns:trust="` + nsTrust3 + `">`,
		wrapEnd:   `</trust:RequestSecurityTokenResponseCollection>`,
	},
}

func (v Version) edition() *edition { return &editions[v] }

// Path is where the edition's user name endpoint is.
func (v Version) Path() string { return base + v.edition().name + "/usernamemixed" }

// route is the endpoint's name in logs and metrics.
func (v Version) route() string { return "wstrust_" + v.edition().name }

// routeMex is MEX's name in logs and metrics.
const routeMex = "wstrust_mex"

// versionOf returns the edition that a route belongs to.
func versionOf(route string) (Version, bool) {
	for _, v := range Versions() {
		if v.route() == route {
			return v, true
		}
	}
	return 0, false
}
