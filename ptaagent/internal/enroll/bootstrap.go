package enroll

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// State is what a bootstrap tells about the agent.
type State struct {
	// URL is the service's address without a path.
	URL           string
	Tenant, Agent string
	RequestID     string // fresh GUID
	Machine       Machine
	// First is true for the first call of a process.
	First bool
	// Failures counts those since the last success; LastLatency is what the last
	// success took; LostLinks counts links that broke.
	Failures    int
	LastLatency time.Duration
	LostLinks   int
	Now         time.Time
}

// Endpoint is one relay path of the answer.
type Endpoint struct {
	Name, Namespace, Domain, Path, KeyName, Key string
	Reliable                                    bool
}

// Plan is the answer: what the agent is to do until the next one.
type Plan struct {
	Endpoints []Endpoint
	// Heartbeat is the time to the next bootstrap.
	Heartbeat time.Duration
	// RenewCheck is the period of checks whether renewal is due, RenewLead how long
	// before the end of the certificate it is due.
	RenewCheck, RenewLead time.Duration
	RenewEndpoint         string
	// Budget is the time for the answer to one request.
	Budget time.Duration
	// Posts is how often a result is posted at most; Pause is before the second
	// attempt and grows by Factor.
	Posts  int
	Pause  time.Duration
	Factor int
	// ResponsePath is the path that results are posted to.
	ResponsePath string
	// TokenLife is the life of SAS tokens.
	TokenLife time.Duration
	// State is Ok, UpdateRequired, InfoServiceMessage or ErrorServiceMessage;
	// Message a text for the admin.
	State, Message string
	// Override is another bootstrap address, empty when there is none.
	Override string
	// Signing says that results are to be signed, which nothing public describes.
	Signing bool
}

// Bootstrap calls the bootstrap service.
func Bootstrap(ctx context.Context, c *http.Client, s State) (*Plan, error) {
	doc, err := post(ctx, c, s.URL+"/ConnectorBootstrap", bootstrapRequest(s))
	if err != nil {
		return nil, err
	}
	return readPlan(doc)
}

func bootstrapRequest(s State) []byte {
	v := s.Machine.Version
	declare := ` xmlns:a="` + nsBoot + `"`
	var b body
	b.WriteString(`<BootstrapRequest xmlns="` + nsSignaler + `" xmlns:i="` + nsInstance + `">`)
	b.text("AgentSdkVersion", v)
	b.text("AgentServiceAccountName", `NT Authority\NetworkService`)
	b.text("AgentVersion", v)
	b.null("BootstrapAddOnRequests")
	b.text("BootstrapDataModelVersion", v)
	b.text("ConnectorId", s.Agent)
	b.null("ConnectorVersion")
	b.text("ConsecutiveFailures", strconv.Itoa(s.Failures))
	b.text("CurrentProxyPortResponseMode", "Primary")
	b.text("FailedRequestMetrics"+declare, "")
	b.text("InitialBootstrap", strconv.FormatBool(s.First))
	b.text("IsAgentServiceAccountGmsa", "false")
	b.text("IsProxyPortResponseFallbackDisabledFromRegistry", "true")
	b.text("LatestDotNetVersionInstalled", dotNet)
	b.text("MachineName", s.Machine.Name)
	b.text("OperatingSystemLanguage", osLanguage)
	b.text("OperatingSystemLocale", osLocale)
	b.text("OperatingSystemSKU", osSKU)
	b.text("OperatingSystemVersion", osVersion)
	b.WriteString("<PerformanceMetrics" + declare + "><a:CpuAggregates/>")
	b.text("a:CurrentActiveBackendWebSockets", "0")
	b.text("a:FaultedServiceBusConnectionCount", strconv.Itoa(s.LostLinks))
	b.text("a:FaultedWebSocketConnectionCount", "0")
	b.text("a:LastBootstrapLatency", strconv.FormatInt(s.LastLatency.Milliseconds(), 10))
	b.text("a:TimeGenerated", s.Now.UTC().Format("2006-01-02T15:04:05.0000000Z"))
	b.WriteString("</PerformanceMetrics>")
	b.text("ProxyDataModelVersion", v)
	b.text("RequestId", s.RequestID)
	b.text("SubscriptionId", s.Tenant)
	b.text("SuccessRequestMetrics"+declare, "")
	b.text("TriggerErrors", "")
	b.text("UpdaterStatus", "Stopped")
	b.text("UseServiceBusTcpConnectivityMode", "false")
	b.text("UseSpnegoAuthentication", "false")
	b.WriteString("</BootstrapRequest>")
	return []byte(b.String())
}

// maxEndpoints bounds the listeners; the service hands out 4 to 8.
const maxEndpoints = 32

func readPlan(doc []byte) (*Plan, error) {
	root, err := answer(doc, "BootstrapResponse")
	if err != nil {
		return nil, err
	}
	p := &Plan{
		Heartbeat:     milliseconds(root, "PeriodicBootstrapIntervalMilliseconds", 10*time.Minute, time.Second, 24*time.Hour),
		Budget:        milliseconds(root, "LogicalResponseTimeoutMilliseconds", 15*time.Second, time.Second, 5*time.Minute),
		Pause:         milliseconds(root, "ResponseRetryInitialDelayMilliseconds", 200*time.Millisecond, time.Millisecond, 10*time.Second),
		Posts:         int(number(root, "ResponseRetryTotalAttempts", 5, 1, 10)),
		Factor:        int(number(root, "ResponseRetryDelayFactor", 2, 1, 10)),
		RenewCheck:    time.Duration(number(root, "CheckForTrustRenewPeriodInMinutes", 360, 1, 7*24*60)) * time.Minute,
		RenewLead:     time.Duration(number(root, "MinutesInTrustLifetimeBeforeRenew", 0, 0, 365*24*60)) * time.Minute,
		RenewEndpoint: root.value("TrustRenewEndpoint"), State: root.value("ConnectorState"), Message: root.value("ServiceMessage"),
		Override: root.value("BootstrapEndpointOverride"), Signing: root.value("ResponseSigningEnabled") == "true",
		TokenLife: tokenLife(root.value("ConnectivitySettings")),
	}
	p.ResponsePath = "/subscriber/connection"
	if path, ok := strings.CutPrefix(root.value("ResponseEndpointFormat"), "https://{0}:{1}"); ok && strings.HasPrefix(path, "/subscriber/") {
		p.ResponsePath = path
	}
	if p.Endpoints, err = endpoints(root.child("SignalingListenerEndpoints")); err != nil {
		return nil, err
	}
	return p, nil
}

func endpoints(list *node) (out []Endpoint, err error) {
	if list == nil {
		return nil, fmt.Errorf("%w: it names no endpoints", ErrAnswer)
	}
	names := map[string]bool{}
	for _, n := range list.children {
		if n.value("IsAvailable") == "false" {
			continue
		}
		e := Endpoint{
			Name: n.value("Name"), Namespace: n.value("Namespace"), Domain: n.value("Domain"), Path: n.value("ServicePath"),
			KeyName: n.value("SharedAccessKeyName"), Key: n.value("SharedAccessKey"), Reliable: n.value("ReliableSessionEnabled") == "true",
		}
		if e.Name == "" || e.Namespace == "" || e.Domain == "" || e.Path == "" || e.KeyName == "" || e.Key == "" {
			return nil, fmt.Errorf("%w: endpoint %.80q is not complete", ErrAnswer, e.Name)
		}
		if names[e.Name] || len(out) >= maxEndpoints {
			return nil, fmt.Errorf("%w: endpoint %.80q is named twice, or there are more than %d", ErrAnswer, e.Name, maxEndpoints)
		}
		names[e.Name] = true
		out = append(out, e)
	}
	return out, nil
}

// number reads a setting; what is missing or beyond its bounds takes the default.
func number(root *node, name string, value, least, most int64) int64 {
	n, err := strconv.ParseInt(root.value(name), 10, 64)
	if err != nil || n < least || n > most {
		return value
	}
	return n
}

func milliseconds(root *node, name string, value, least, most time.Duration) time.Duration {
	return time.Duration(number(root, name, value.Milliseconds(), least.Milliseconds(), most.Milliseconds())) * time.Millisecond
}

// tokenLife reads ServiceBusSasTokenTtl out of the connectivity settings, JSON in
// the element's text; an hour where it is not there.
func tokenLife(text string) time.Duration {
	var settings struct {
		SignalingSettings struct {
			ServiceBusSasTokenTtl string
		}
	}
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		return time.Hour
	}
	d, ok := timeSpan(settings.SignalingSettings.ServiceBusSasTokenTtl)
	if !ok || d < time.Second || d > 7*24*time.Hour {
		return time.Hour
	}
	return d
}

// timeSpan reads [d.]hh:mm:ss[.fffffff].
func timeSpan(s string) (time.Duration, bool) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return 0, false
	}
	days, hours, found := strings.Cut(parts[0], ".")
	if !found {
		days, hours = "0", parts[0]
	}
	seconds, fraction, _ := strings.Cut(parts[2], ".")
	var total time.Duration
	for _, f := range []struct {
		text string
		unit time.Duration
		most int64
	}{{days, 24 * time.Hour, 10000}, {hours, time.Hour, 23}, {parts[1], time.Minute, 59}, {seconds, time.Second, 59}} {
		n, err := strconv.ParseInt(f.text, 10, 64)
		if err != nil || n < 0 || n > f.most {
			return 0, false
		}
		total += time.Duration(n) * f.unit
	}
	if fraction != "" {
		n, err := strconv.ParseInt((fraction + "0000000")[:7], 10, 64)
		if err != nil || len(fraction) > 7 {
			return 0, false
		}
		total += time.Duration(n) * 100
	}
	return total, true
}
