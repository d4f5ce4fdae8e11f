package config

func (c *Config) validateActive(p *problems) {
	choice(p, "wstrust", c.WSTrust, []string{"off", "inside", "everywhere"})
	if c.WSTrust == "inside" && len(c.Networks.Inside) == 0 {
		p.add("wstrust", "is inside, and networks.inside names no network: nobody could use it. List the networks, or write off or everywhere")
	}
	choice(p, "saml.ecp", c.SAML.ECP, []string{"off", "inside", "everywhere"})
	if c.SAML.ECP == "inside" && len(c.Networks.Inside) == 0 {
		p.add("saml.ecp", "is inside, and networks.inside names no network: nobody could use it. List the networks, or write off or everywhere")
	}
	if c.SAML.ECP != "off" && !c.UsesSAML() {
		p.add("saml.ecp", "says something only with a party or a domain of protocol saml: take it out")
	}
	if len(c.Proxy.OnBehalf) > 0 && c.WSTrust == "off" && c.SAML.ECP == "off" {
		p.add("proxy.on_behalf", "says something only while wstrust or saml.ecp is on: take it out")
	}
	if c.WSTrustTellExpired && c.WSTrust == "off" {
		p.add("wstrust_tell_expired", "says something only while wstrust is on: take it out")
	}
}
