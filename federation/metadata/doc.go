// Package metadata publishes FederationMetadata.xml as AD FS does: who this
// service is, which certificates may sign its tokens, where it answers. Microsoft
// Entra ID and other parties read it to learn of a new certificate in time.
//
// The document is signed with the key that signs tokens now, and that key's
// certificate is the first signing key in every role, since readers exist that
// take only one. It is built when its inputs change, never per request, and it is
// the same byte for byte on every instance that has the same inputs: the id is
// made of the content and the signature scheme is deterministic.
//
// The threats: a reader that is told of endpoints which do not answer, or of a
// key that is not ours; markup smuggled in through a display name; a request's
// Host header becoming an address in the document (all addresses come from
// settings).
//
// What we do differently from AD FS:
//
//   - roles that nothing stands behind are left out: no ApplicationServiceType
//     and no SPSSODescriptor (this service accepts no foreign tokens), no
//     IDPSSODescriptor before SAML answers, no encryption keys, no artifact
//     resolution;
//   - beside AD FS's document there is one with the SAML 2.0 role alone: readers
//     that validate against the SAML schemas refuse the role of WS-Federation,
//     whose type those schemas do not know;
//   - until a WS-Trust endpoint answers, SecurityTokenServiceEndpoint, which the
//     schema demands, names the passive address;
//   - the declaration of prefix fed on RoleDescriptor is needed by xsi:type only.
//     Exclusive canonicalisation drops it from what is signed, so the elements of
//     that namespace declare the prefix themselves.
//
// Short names used in comments:
//
//	SAML Metadata    OASIS Metadata for SAML 2.0
//	WS-Federation    OASIS Web Services Federation Language 1.2
//	Exc-C14N         W3C Exclusive XML Canonicalization 1.0
package metadata
