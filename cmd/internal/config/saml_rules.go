package config

// validate checks what Entra's messages are held to.
func (e EntraSAML) validate(p *problems, used bool) {
	const key = "microsoft365.saml"
	switch {
	case e == (EntraSAML{}):
	case !used:
		p.add(key, "says something only with a domain of protocol: saml: take it out")
	case e.RequestCertificatesFile == "":
		p.add(key+".request_certificates_file", "is missing: name the file with the certificates of Microsoft's SAML metadata")
	}
}

// validateSAMLParty checks the part of a party that only SAML has.
func (c *Config) validateSAMLParty(p *problems, key string, rp RelyingParty) {
	s := rp.SAML
	if rp.TokenType != "" && rp.TokenType != "saml20" {
		p.add(key+".token_type", "SAML 2.0 parties get saml20: take the line out")
	}
	if len(rp.ReplyURLs) > 0 {
		p.add(key+".reply_urls", "belongs to WS-Federation: list the addresses under saml.acs")
	}
	choice(p, key+".saml.sign", s.Sign, []string{"both", "assertion", "response"})
	choice(p, key+".saml.encrypt", s.Encrypt, []string{"auto", "never"})
	if s.Encrypt == "never" && s.EncryptionCertificateFile != "" {
		p.add(key+".saml.encrypt", "never stands beside encryption_certificate_file: keep one of the two")
	}
	metadata := rp.UsesMetadata()
	if s.NameIDFormat != "" || !metadata {
		choice(p, key+".saml.name_id_format", s.NameIDFormat, []string{"unspecified", "email", "windows", "persistent", "transient"})
	}
	if s.NameIDFormat == "persistent" && rp.NameID.Attribute == "" && c.SAML.PersistentIDSecretFile == "" {
		p.add(key+".saml.name_id_format", "persistent identifiers are computed from a secret: name its file in saml.persistent_id_secret_file")
	}
	if s.SignedRequests && s.RequestCertificatesFile == "" && !metadata {
		p.add(key+".saml.request_certificates_file", "is missing: signed requests are verified with these certificates")
	}
	validateEncryption(p, key+".saml", s, metadata)
	validateLogout(p, key+".saml", s, metadata)
	if len(s.ACS) == 0 && metadata {
		return
	}
	if len(s.ACS) == 0 {
		p.add(key+".saml.acs", "is missing: list the addresses that an answer may be posted to, for example [{url: \"https://app.contoso.test/saml/acs\"}]")
		return
	}
	index, standard, post := map[int]bool{}, 0, 0
	for i, a := range s.ACS {
		k := at(key+".saml.acs", i)
		if msg := replyURL(a.URL); msg != "" {
			p.add(k+".url", "%s", msg)
		}
		choice(p, k+".binding", a.Binding, []string{"post", "artifact", "paos"})
		if a.Index < 0 || a.Index > 65535 {
			p.add(k+".index", "%d is not between 0 and 65535", a.Index)
		} else if index[a.Index] && !metadata {
			p.add(k+".index", "%d is used twice: each address has its own number", a.Index)
		}
		index[a.Index] = true
		if a.Default {
			standard++
		}
		if a.Binding == "post" {
			post++
		}
	}
	if standard > 1 {
		p.add(key+".saml.acs", "has %d defaults: mark one", standard)
	}
	if post == 0 {
		p.add(key+".saml.acs", "has no address with binding: post, and answers are posted")
	}
}

// validateEncryption checks the algorithms of encrypted assertions.
func validateEncryption(p *problems, key string, s SAMLParty, metadata bool) {
	e := s.Encryption
	if e == (SAMLEncryption{}) {
		return
	}
	key += ".encryption"
	for _, c := range []struct {
		name, value string
		choices     []string
	}{
		{"content", e.Content, []string{"aes256-gcm", "aes128-gcm"}},
		{"transport", e.Transport, []string{"rsa-oaep-mgf1p", "rsa-oaep"}},
		{"digest", e.Digest, []string{"sha1", "sha256"}},
		{"mask", e.Mask, []string{"sha1", "sha256"}},
	} {
		if c.value != "" {
			choice(p, key+"."+c.name, c.value, c.choices)
		}
	}
	if e.Mask == "sha256" && e.Transport != "rsa-oaep" {
		p.add(key+".mask", "sha256 needs transport: rsa-oaep; rsa-oaep-mgf1p masks with SHA-1 always")
	}
	if s.Encrypt == "never" || s.EncryptionCertificateFile == "" && !metadata {
		p.add(key, "says something only when assertions are encrypted: name encryption_certificate_file, or take it out")
	}
}

func validateLogout(p *problems, key string, s SAMLParty, metadata bool) {
	l := s.Logout
	if l == (SAMLLogout{}) {
		return
	}
	if msg := replyURL(l.URL); msg != "" {
		p.add(key+".logout.url", "%s", msg)
	}
	if msg := replyURL(l.ResponseURL); l.ResponseURL != "" && msg != "" {
		p.add(key+".logout.response_url", "%s", msg)
	}
	choice(p, key+".logout.binding", l.Binding, []string{"redirect", "post", "soap"})
	if s.RequestCertificatesFile == "" && !metadata {
		p.add(key+".request_certificates_file", "is missing: sign-outs are signed, and are verified with these certificates")
	}
}
