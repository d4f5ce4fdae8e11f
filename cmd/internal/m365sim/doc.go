// Package m365sim is a stand-in of the Microsoft side of a federated domain,
// for the demo and for tests: a page that asks for the user name, the realm
// discovery that sends a federated user to the domain's passive address, and
// login.srf, which judges the token that comes back.
//
// It is written independently of the packages that it judges and imports none
// of them: XML is read with etree, signatures are verified with goxmldsig, and
// the rules are those that [MS-MWBF] and published observations of Microsoft
// Entra ID give for tokens of a federated domain. Where those sources only say
// what AD FS sends, the stand-in asks for exactly that, so that it is stricter
// than the cloud. It is not the cloud: what it accepts is likely, not certain,
// to be accepted there.
//
// It listens on loopback only and answers 302 to two further origins after
// login.srf, as the real service may, so that a sign-in page whose policy
// forbids such redirects is found out here.
package m365sim
