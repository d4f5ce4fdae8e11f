// Package wsfed speaks the passive requestor profile of WS-Federation as
// Microsoft 365 and other relying parties use it against AD FS: wsignin1.0,
// wsignout1.0 and wsignoutcleanup1.0 on /adfs/ls/.
//
// # Design
//
// [Parse] turns the parameters of a message into one [federation.SignInRequest]
// or a refusal; it talks to nobody. [Handler] is the one dispatcher of /adfs/ls/,
// which also carries SAML 2.0 and the service's own form: it decides by content
// what a request is, and hands it to the sign-in flow. [Responder] turns a
// signed-in subject into the form that posts the token. [Registry] holds the
// parties.
//
// # Threat
//
// A request decides only which registered party is meant and which of its
// registered addresses gets the answer; an address is compared after parsing and
// the registry's own spelling is used. Parameters of the query and of a form are
// never mixed, none is taken twice, and wctx comes back byte for byte or not at
// all. A method of authentication that cannot be given truthfully is refused, not
// replaced by a weaker one.
//
// # Where we differ from [MS-MWBF] and AD FS, or choose where they are silent
//
//   - Errors are pages with status 400, not 500: nothing of ours is broken.
//   - A doubled parameter is refused; AD FS joins the values with a comma.
//   - A form that is posted to an address with protocol parameters in its query is
//     refused; Windows ignores the query ([MS-MWBF] note 48).
//   - wreply is honoured where it names one of the party's registered addresses;
//     old AD FS ignores it beside wtrealm. At sign-out too; an address that is not
//     registered is dropped there and the session ends all the same.
//   - wct, whr, domain_hint, mfa_max_age, wp, wreq and wres change nothing; wreqptr
//     is never fetched.
//   - A wauth that asks for a class without a method (unspecified) is no demand.
//   - wctx with a NUL, a lone CR or LF, or bytes that are not UTF-8 is refused: no
//     browser would return it unchanged.
//
// Short names used in comments: see package federation.
package wsfed
