package ptatest

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/beevik/etree"
)

var (
	stampForm    = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{7}Z$`)
	intervalForm = regexp.MustCompile(`^PT[0-9]+M$`)
)

// performance judges the measurements; an empty element is good (6.2 row 20).
func performance(e *etree.Element) error {
	if len(e.ChildElements()) == 0 {
		return leaf(e)
	}
	n := like(numberForm, nil)
	return expect(e,
		child{nsBootstrap, "CpuAggregates", false, func(e *etree.Element) error {
			for _, item := range e.ChildElements() {
				if item.Tag != "AggregatedCpuData" || item.NamespaceURI() != nsBootstrap {
					return fmt.Errorf("item %s", item.Tag)
				}
				if err := expect(item, child{nsBootstrap, "AverageCpu", false, n}, child{nsBootstrap, "DataCollectionInterval", false, like(intervalForm, nil)},
					child{nsBootstrap, "MaxCpu", false, n}, child{nsBootstrap, "TimeCollected", false, like(stampForm, nil)}); err != nil {
					return err
				}
			}
			return nil
		}},
		child{nsBootstrap, "CurrentActiveBackendWebSockets", false, n}, child{nsBootstrap, "CurrentActiveGrpcRequests", true, n},
		child{nsBootstrap, "FaultedServiceBusConnectionCount", false, n}, child{nsBootstrap, "FaultedWebSocketConnectionCount", false, n},
		child{nsBootstrap, "LastBootstrapLatency", false, n}, child{nsBootstrap, "TimeGenerated", false, like(stampForm, nil)})
}

// metrics are empty and declare the namespace of their items (6.2 rows 10, 24).
func metrics(e *etree.Element) error {
	for _, a := range e.Attr {
		if a.Space == "xmlns" && a.Value == nsBootstrap {
			return is("")(e)
		}
	}
	return fmt.Errorf("does not declare %s", nsBootstrap)
}

// beat is what a bootstrap request tells.
type beat struct {
	connector, request, subscription, initial, machine, failures string
}

func (c *Cloud) judgeBootstrap(root judged) (b beat, err error) {
	m := func(name string, form *regexp.Regexp, into *string) child {
		return child{nsSignaler, name, false, like(form, into)}
	}
	optional := func(name string, form *regexp.Regexp) child { return child{nsSignaler, name, true, like(form, nil)} }
	return b, root.as(nsSignaler, "BootstrapRequest",
		m("AgentSdkVersion", versionForm, nil), optional("AgentServiceAccountName", filledForm), m("AgentVersion", versionForm, nil),
		child{nsSignaler, "BootstrapAddOnRequests", false, isNil}, m("BootstrapDataModelVersion", versionForm, nil), m("ConnectorId", guidForm, &b.connector),
		child{nsSignaler, "ConnectorVersion", false, isNil}, m("ConsecutiveFailures", numberForm, &b.failures),
		child{nsSignaler, "CurrentProxyPortResponseMode", false, is("Primary")}, child{nsSignaler, "FailedRequestMetrics", false, metrics},
		m("InitialBootstrap", boolForm, &b.initial), optional("IsAgentServiceAccountGmsa", boolForm),
		child{nsSignaler, "IsProxyPortResponseFallbackDisabledFromRegistry", false, is("true")}, m("LatestDotNetVersionInstalled", numberForm, nil),
		m("MachineName", filledForm, &b.machine), m("OperatingSystemLanguage", numberForm, nil), m("OperatingSystemLocale", hexForm, nil),
		m("OperatingSystemSKU", numberForm, nil), m("OperatingSystemVersion", systemForm, nil), child{nsSignaler, "PerformanceMetrics", true, performance},
		m("ProxyDataModelVersion", versionForm, nil), m("RequestId", guidForm, &b.request), m("SubscriptionId", guidForm, &b.subscription),
		child{nsSignaler, "SuccessRequestMetrics", false, metrics}, child{nsSignaler, "TriggerErrors", false, is("")},
		child{nsSignaler, "UpdaterStatus", false, is("Running", "Stopped")}, child{nsSignaler, "UseServiceBusTcpConnectivityMode", false, is("false")},
		child{nsSignaler, "UseSpnegoAuthentication", false, is("false")})
}

// bootstrap plays ConnectorBootstrap (6).
func (c *Cloud) bootstrap(w http.ResponseWriter, r *http.Request) {
	const part = "bootstrap"
	id, err := c.client(part, r.TLS.PeerCertificates)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	root, err := c.readBody(part, w, r)
	if err != nil {
		return
	}
	b, err := c.judgeBootstrap(root)
	c.mu.Lock()
	first := c.agents[id].beats == 0
	c.mu.Unlock()
	switch {
	case err != nil:
	case b.connector != id:
		err = fmt.Errorf("ConnectorId %s with the certificate of %s", b.connector, id)
	case b.subscription != c.Tenant:
		err = fmt.Errorf("SubscriptionId %s", b.subscription)
	case !c.fresh(b.request):
		err = fmt.Errorf("RequestId %s was used before", b.request)
	case first && b.initial != "true":
		err = fmt.Errorf("InitialBootstrap is false in the first call")
	}
	if err != nil {
		http.Error(w, c.diary.refuse(part, "%v (6.2)", err).Error(), http.StatusBadRequest)
		return
	}
	f := c.fault()
	if f.BootstrapHang {
		select {
		case <-r.Context().Done():
		case <-c.ctx.Done():
		}
		return
	}
	if f.BootstrapStatus != 0 && f.BootstrapStatus != http.StatusOK {
		w.WriteHeader(f.BootstrapStatus)
		return
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	c.mu.Lock()
	a := c.agents[id]
	a.beat, a.addr, a.machine = c.now(), host, b.machine
	a.beats++
	s := c.settings
	c.mu.Unlock()
	c.diary.add(Record{Kind: Bootstrapped, Agent: id, Detail: "initial " + b.initial + ", failures " + b.failures})
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	if f.BootstrapBody != nil {
		_, _ = w.Write(f.BootstrapBody)
		return
	}
	_, _ = w.Write([]byte(bootstrapXML(s)))
}

// bootstrapXML writes the answer in the order of captures (6.3).
func bootstrapXML(s Settings) string {
	var b strings.Builder
	add := func(name string, v any) { fmt.Fprintf(&b, "<%s>%s</%s>", name, escape(fmt.Sprint(v)), name) }
	null := func(name string) { fmt.Fprintf(&b, `<%s i:nil="true"/>`, name) }
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	fmt.Fprintf(&b, `<BootstrapResponse xmlns="%s" xmlns:i="%s">`, nsSignaler, nsInstance)
	add("BackendSessionTimeoutMilliseconds", 305000)
	null("BootstrapAddOnResponses")
	null("BootstrapClientAddOnSettings")
	if s.EndpointOverride == "" {
		null("BootstrapEndpointOverride")
	} else {
		add("BootstrapEndpointOverride", s.EndpointOverride)
	}
	add("CheckForTrustRenewPeriodInMinutes", max(int(s.TrustCheck.Minutes()), 1))
	add("ConfigRequestTimeoutMilliseconds", 20000)
	add("ConfigurationEndpointFormat", "https://{0}:{1}/subscriber/admin")
	add("ConnectionLimit", 200)
	add("ConnectivitySettings", connectivity(s))
	fmt.Fprintf(&b, `<ConnectorLocalTraceConfig xmlns:a="%s"><a:DaysToKeepLocalTraces>30</a:DaysToKeepLocalTraces><a:LocalTracesDisabled>false</a:LocalTracesDisabled><a:LocalTracesLevel>2</a:LocalTracesLevel></ConnectorLocalTraceConfig>`, nsBootstrap)
	add("ConnectorState", s.ConnectorState)
	add("DnsLookupCacheTtl", "PT30M")
	add("DnsRefreshTimeoutMilliseconds", 1800000)
	add("EnableConnectorMetricsV2", false)
	add("ErrorEndpointFormat", "https://{0}:{1}/subscriber/error")
	add("LogicalResponseTimeoutMilliseconds", ms(s.AnswerBudget))
	add("MaxBootstrapAddOnRequestsLength", 0)
	add("MaxFailedBootstrapRequests", 2166)
	add("MaxServicePointIdleTimeMilliseconds", 300000)
	add("MinutesInTrustLifetimeBeforeRenew", int(s.TrustLead.Minutes()))
	add("PayloadEndpointFormat", "https://{0}:{1}/subscriber/payload")
	add("PayloadRequestTimeoutMilliseconds", 20000)
	add("PeriodicBootstrapIntervalMilliseconds", ms(s.Heartbeat))
	if s.RetryStrategy {
		b.WriteString(retryXML)
	}
	add("ProxyPortResponseFallbackPeriod", "P1D")
	add("RelayReceiveTimeout", "P10675199DT2H48M5.4775807S")
	add("ResponseEndpointFormat", "https://{0}:{1}/subscriber/connection")
	add("ResponseRetryDelayFactor", 2)
	add("ResponseRetryInitialDelayMilliseconds", ms(s.ResultPause))
	add("ResponseRetryTotalAttempts", s.ResultAttempts)
	add("ResponseSigningEnabled", s.ResponseSigning)
	add("ServiceMessage", s.ServiceMessage)
	fmt.Fprintf(&b, `<SignalingListenerEndpoints xmlns:a="%s">`, nsBootstrap)
	for _, e := range s.Endpoints {
		fmt.Fprintf(&b, "<a:SignalingListenerEndpointSettings i:type=\"a:ServiceBusSignalingListenerEndpointSettings\"><a:IsAvailable>%t</a:IsAvailable><a:Name>\n  %s\n</a:Name><a:Domain>%s</a:Domain><a:Namespace>%s</a:Namespace><a:ReliableSessionEnabled>%t</a:ReliableSessionEnabled><a:Scheme>sb</a:Scheme><a:ServicePath>%s</a:ServicePath><a:SharedAccessKey>%s</a:SharedAccessKey><a:SharedAccessKeyName>%s</a:SharedAccessKeyName></a:SignalingListenerEndpointSettings>",
			!e.Unavailable, escape(e.Name()), escape(e.Domain), escape(e.Namespace), e.Reliable, escape(e.Path), escape(e.Key), escape(e.KeyName))
	}
	b.WriteString("</SignalingListenerEndpoints><Triggers/>")
	add("TrustRenewEndpoint", s.TrustRenewEndpoint)
	b.WriteString("</BootstrapResponse>")
	return b.String()
}

// span writes a duration as .NET does in JSON: hh:mm:ss.
func span(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

func connectivity(s Settings) string {
	return `{"ServicePointManagerSettings":{"ConnectionLimit":200,"MaxServicePoints":0,"MaxServicePointIdleTimeMilliseconds":300000,"DnsRefreshTimeoutMilliseconds":1800000,"Expect100Continue":false,"UseNagleAlgorithm":false,"TcpKeepAliveEnabled":true,"TcpKeepAliveTime":60000,"TcpKeepAliveInterval":1000},` +
		`"SignalingSettings":{"BindingType":"NetTcpRelayBinding","OpenTimeout":"00:01:00","CloseTimeout":"00:01:00","ReceiveTimeout":"10675199.02:48:05.4775807","ReliableSessionEnabled":false,"ReliableSessionInactivityTimeout":"00:10:00","ReliableSessionOrdered":true,"ListenBacklog":10,"MaxReceivedMessageSize":65536,"MaxBufferPoolSize":65536,"MaxBufferSize":65536,"MaxConnections":100,"WebSocketReceiveTimeout":"02:00:00","UseCachedServiceBusSasToken":true,"ServiceBusSasTokenTtl":"` + span(s.TokenTTL) + `","UseServiceBusTracingForListenerId":false},` +
		`"WebSocketSignalingSettings":{"OpenTimeout":"00:00:30","CloseTimeout":"00:00:30","SendTimeout":"00:00:30","ReceiveTimeout":"02:00:00","IdleTimeout":"02:00:00","LeaseTimeout":"06:00:00","KeepAliveInterval":"00:00:10","MaxReceivedMessageSize":65536,"MaxConnections":1,"EnableAutomaticReconnects":true,"RetryableOperationSettings":{"MinimumSuccessfulOperationTimeSpan":"00:01:00","TotalAttempts":5,"InitialDelayMilliseconds":200,"DelayFactor":2}},` +
		`"DnsCacheSettings":{"DnsCacheEnabled":true,"DnsCacheTtl":"00:30:00","DnsCacheResolutionTimeout":"00:01:00"},` +
		`"BackendWebSocketSettings":{"MessageBufferSize":16384,"BackendWebSocketIdleTimeout":"05:00:00","BackendWebSocketInactivityCheckPeriod":"00:30:00","BackendWebSocketKeepAliveInterval":"00:03:45"}}`
}

// retryXML is the delivered retry plan (14.2): once after ten minutes, then
// exponential from 3 s to 1 h for five attempts, then hourly, both randomised.
const retryXML = `<PeriodicBootstrapRetryStrategy i:type="a:AndThen" xmlns:a="` + nsRetry + `"><a:First i:type="a:Periodic"><a:Interval>00:10:00</a:Interval><a:MaxAttempts>1</a:MaxAttempts></a:First><a:Second i:type="a:Randomized"><a:Inner i:type="a:AndThen"><a:First i:type="a:ExponentialBackoff"><a:MaxAttempts>5</a:MaxAttempts><a:MaxDelay>01:00:00</a:MaxDelay><a:MinDelay>00:00:03</a:MinDelay></a:First><a:Second i:type="a:Periodic"><a:Interval>01:00:00</a:Interval><a:MaxAttempts i:nil="true"/></a:Second></a:Inner><a:PlusOrMinusPercent>20</a:PlusOrMinusPercent></a:Second></PeriodicBootstrapRetryStrategy>`
