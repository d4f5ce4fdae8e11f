package config

func (c *Config) validateActive(p *problems) {
	choice(p, "wstrust", c.WSTrust, []string{"off", "inside", "everywhere"})
	if c.WSTrust == "inside" && len(c.Networks.Inside) == 0 {
		p.add("wstrust", "is inside, and networks.inside names no network: nobody could use it. List the networks, or write off or everywhere")
	}
	if len(c.Proxy.OnBehalf) > 0 && c.WSTrust == "off" {
		p.add("proxy.on_behalf", "says something only while wstrust is on: take it out")
	}
	if c.WSTrustTellExpired && c.WSTrust == "off" {
		p.add("wstrust_tell_expired", "says something only while wstrust is on: take it out")
	}
}
