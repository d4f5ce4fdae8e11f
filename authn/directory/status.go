package directory

import "time"

// DomainStatus is one domain's state, for readiness and the operator.
type DomainStatus struct {
	Domain string
	// Usable reports that sign-ins of this domain can work: a DC passed its
	// checks and the service account is not refused.
	Usable bool
	// ServiceAccount is empty, or why the account is not tried at present.
	ServiceAccount string
	// Discovered is when DNS last gave the DCs; zero with configured servers.
	Discovered time.Time
	Servers    []ServerStatus
}

// ServerStatus is one DC's state.
type ServerStatus struct {
	Name, Address string
	// Usable reports that it passed its checks and its breaker is closed.
	Usable  bool
	Breaker string // closed, open or half_open
	Latency time.Duration
	// LastError and LastErrorAt tell the last failure, also when it is over.
	LastError   string
	LastErrorAt time.Time
	// ClockOffset is its clock minus ours; ClockKnown is false before the first
	// answer.
	ClockOffset time.Duration
	ClockKnown  bool
	// Level is domainControllerFunctionality (7 = 2016), -1 when not known.
	Level    int
	Site     string
	ReadOnly bool
	// Connections of both pools.
	BindIdle, BindLent, ServiceIdle, ServiceLent int
}

// Status tells the state of all domains. It asks nobody and never blocks.
func (d *Directory) Status() []DomainStatus {
	out := make([]DomainStatus, 0, len(d.domains))
	for _, dm := range d.domains {
		st := DomainStatus{Domain: dm.name}
		if err := dm.service.stopped(); err != nil {
			st.ServiceAccount = err.Error()
		}
		if at := dm.discovered.Load(); at != 0 {
			st.Discovered = time.Unix(0, at)
		}
		for _, s := range *dm.servers.Load() {
			ss := s.status()
			st.Usable = st.Usable || ss.Usable
			st.Servers = append(st.Servers, ss)
		}
		st.Usable = st.Usable && st.ServiceAccount == ""
		out = append(out, st)
	}
	return out
}

func (s *server) status() ServerStatus {
	ss := ServerStatus{Name: s.name, Address: s.address, Usable: s.usable(), Breaker: s.br.current().String(), Latency: s.meter.average(), Level: -1}
	s.mu.Lock()
	if s.lastErr != nil {
		ss.LastError, ss.LastErrorAt = s.lastErr.Error(), s.lastAt
	}
	ss.ClockOffset, ss.ClockKnown = s.offset, s.offsetOK
	s.mu.Unlock()
	if r := s.root.Load(); r != nil {
		ss.Level, ss.Site, ss.ReadOnly = r.level, r.site, r.readOnly
	}
	b, q := s.binds.size(), s.searches.size()
	ss.BindIdle, ss.BindLent, ss.ServiceIdle, ss.ServiceLent = b.idle, b.lent, q.idle, q.lent
	return ss
}
