package directorytest

import (
	"strconv"
)

// addInfrastructure adds the naming contexts and the objects that every domain has.
func (db *database) addInfrastructure() error {
	config := "CN=Configuration," + baseDN(db.cfg.Forest)
	p := db.cfg.Policy
	head := &object{dn: db.base, sid: db.sid}
	objects := []struct {
		o     *object
		class string
	}{
		{head, "domainDNS"},
		{&object{dn: "CN=Users," + db.base}, "container"},
		{&object{dn: "CN=System," + db.base}, "container"},
		{&object{dn: "CN=Password Settings Container,CN=System," + db.base, hidden: true}, "msDS-PasswordSettingsContainer"},
		{&object{dn: config}, "configuration"},
		{&object{dn: "CN=Partitions," + config}, "crossRefContainer"},
		{&object{dn: "CN=Services," + config}, "container"},
		{&object{dn: "CN=Windows NT,CN=Services," + config}, "container"},
		{&object{dn: "CN=Directory Service,CN=Windows NT,CN=Services," + config}, "nTDSService"},
		{&object{dn: "CN=Query-Policies,CN=Directory Service,CN=Windows NT,CN=Services," + config}, "container"},
	}
	for _, x := range objects {
		if err := db.add(x.o, x.class); err != nil {
			return err
		}
	}
	integer := func(name string, v int64) { head.set(name, strconv.FormatInt(v, 10)) }
	integer("lockoutThreshold", int64(p.LockoutThreshold))
	integer("lockOutObservationWindow", toInterval(p.LockoutWindow))
	integer("lockoutDuration", toInterval(p.LockoutDuration))
	integer("maxPwdAge", toInterval(p.MaxPasswordAge))
	integer("minPwdAge", 0)
	integer("minPwdLength", int64(p.MinPasswordLength))
	integer("pwdHistoryLength", int64(p.PasswordHistory))
	integer("pwdProperties", 1)
	return db.addPartitions(config)
}

func (db *database) addPartitions(config string) error {
	partitions := db.byKey[mustKey(db.m, "CN=Partitions,"+config)]
	partitions.set("uPNSuffixes", db.cfg.UPNSuffixes...)
	domain := &object{dn: "CN=" + escapeRDN(db.cfg.NetBIOS) + ",CN=Partitions," + config}
	if err := db.add(domain, "crossRef"); err != nil {
		return err
	}
	domain.set("nCName", db.base)
	domain.set("nETBIOSName", db.cfg.NetBIOS)
	domain.set("dnsRoot", db.cfg.Domain)
	enterprise := &object{dn: "CN=Enterprise Configuration,CN=Partitions," + config}
	if err := db.add(enterprise, "crossRef"); err != nil {
		return err
	}
	enterprise.set("nCName", config)
	enterprise.set("dnsRoot", db.cfg.Domain)
	policy := &object{dn: "CN=Default Query Policy,CN=Query-Policies,CN=Directory Service,CN=Windows NT,CN=Services," + config}
	if err := db.add(policy, "queryPolicy"); err != nil {
		return err
	}
	policy.set("lDAPAdminLimits", "MaxPageSize="+strconv.Itoa(maxPageSize), "MaxConnIdleTime=900", "MaxConnections=5000",
		"InitRecvTimeout=120", "MaxReceiveBuffer=10485760", "MaxPoolThreads=4", "MaxValRange="+strconv.Itoa(maxValRange),
		"MaxQueryDuration=120")
	return nil
}

func mustKey(m matcher, dn string) string {
	k, err := m.dnKey(dn)
	if err != nil {
		panic(err) // only constants and names that were added before reach this
	}
	return k
}
