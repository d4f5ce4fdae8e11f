package saml

import "sallyport/federation"

// Microsoft365 makes the built-in party from the one that WS-Federation uses: the
// same name and audience, and the first of its addresses, the only one that
// Microsoft's SAML metadata lists. The assertion is signed and nothing is
// encrypted, as that metadata has no key to encrypt to.
func Microsoft365(rp *federation.RelyingParty) *Party {
	return &Party{
		RelyingParty: *rp,
		Consumers: []Endpoint{
			{URL: rp.ReplyURLs[0], Binding: BindingPost, Index: 0, Default: true},
			{URL: rp.ReplyURLs[0], Binding: BindingPAOS, Index: 2}, // what Exchange Online asks for
		},
		// Its metadata names POST alone, and its requests come by Redirect.
		Logout:       &Logout{URL: rp.ReplyURLs[0], Binding: BindingPost},
		Sign:         SignAssertion,
		NameIDFormat: FormatPersistent,
	}
}
