// Package enroll speaks to the services that give an agent its identity and its
// work: sign-in of the administrator, registration, trust renewal, bootstrap and
// inventory. Each is one HTTPS exchange; the callers bring the HTTP client, which
// decides about hosts, certificates and proxies.
//
// Requests are written by hand, because the services read them by the order of
// their elements (DataContractSerializer). Answers are read with bounds, by local
// names, and what is not known is left out: the services add to them over time.
//
// # Threat
//
// The services are authenticated by TLS, but an answer decides whom the agent talks
// to and which certificate it uses, so everything in it is checked again: a
// certificate must be for the key that was asked for, for this tenant, with an
// agent id and for client authentication ([CheckCertificate]); addresses are
// returned as they are and judged by the caller. Documents with a document type
// definition or a processing instruction are refused.
//
// # What is known of the protocol
//
// Confirmed by several public witnesses: addresses, bodies and results of
// registration and bootstrap, the agent id in the certificate. One witness: the
// body of renewal. Unknown: texts and codes of failures.
package enroll
