// Package verify judges a token as Microsoft Entra ID would, offline and before a
// domain is touched: signature by a certificate in one of the domain's two slots,
// issuer of the person's root domain, audience, times, algorithms, ImmutableID and
// second factor.
//
// It is independent of the packages that write tokens: it knows nothing but the
// bytes of the token and what Microsoft was read to hold. The document passes the
// strict gate of xmlsec; the signature is checked by goxmldsig, which shares no code
// with the signer. What Microsoft documents, or what has been published about its
// refusals, is a rule; where it is silent, the rule is what AD FS sends. So a token
// that passes is likely to be accepted there, and one that does not is worth a look
// before anything is changed.
//
// Not judged: whether the person exists in the tenant, conditional access, and what
// else is decided after the token has been accepted.
//
// Short names used in comments:
//
//	SAML 1.1 Core, SAML 2.0 Core   OASIS assertions and protocols
//	XML-DSIG                       W3C XML Signature Syntax and Processing
package verify
