package ptaagent

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"sallyport/ptaagent/internal/relay"
)

// Cloud names the hosts of one of Microsoft's clouds; everything else is refused.
type Cloud struct {
	// Service is the suffix of registration, bootstrap, renewal and front end.
	Service string
	// Relay is the domain of relay namespaces and instances.
	Relay string
	// Login is the host of the token service, Graph that of Microsoft Graph.
	Login, Graph string
}

// Global is the commercial cloud.
func Global() Cloud {
	return Cloud{Service: "msappproxy.net", Relay: "servicebus.windows.net", Login: "login.microsoftonline.com", Graph: "graph.microsoft.com"}
}

// USGov is the cloud for the government of the United States; that its hosts have
// the same labels as the commercial ones is inferred.
func USGov() Cloud {
	return Cloud{Service: "msappproxy.us", Relay: "servicebus.usgovcloudapi.net", Login: "login.microsoftonline.us", Graph: "graph.microsoft.us"}
}

// ErrHost says that an answer or a signal names a host outside of the cloud.
var ErrHost = errors.New("a host outside of the configured cloud")

func (c Cloud) registration(tenant string) string {
	return "https://" + tenant + ".registration." + c.Service
}

func (c Cloud) bootstrap(tenant string) string {
	return "https://" + tenant + ".pta.bootstrap.his." + c.Service
}

// renewal judges the address of trust renewal.
func (c Cloud) renewal(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.Fragment != "" || !relay.Within(u.Host, c.Service) {
		return fmt.Errorf("%w: renewal at %.120q", ErrHost, address)
	}
	return nil
}

// front judges where a result is to go.
func (c Cloud) front(host, port string) error {
	if !relay.Within(host, "connector.his."+c.Service) || (port != "443" && port != "") {
		return fmt.Errorf("%w: result to %.120q port %.8q", ErrHost, host, port)
	}
	return nil
}

// relayDomain judges the domain of an endpoint.
func (c Cloud) relayDomain(namespace, domain string) error {
	if !strings.EqualFold(domain, c.Relay) || !relay.Within(namespace+"."+domain, c.Relay) {
		return fmt.Errorf("%w: relay %.120q", ErrHost, namespace+"."+domain)
	}
	return nil
}
