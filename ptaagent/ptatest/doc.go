// Package ptatest is a stand-in of Microsoft's side of pass-through
// authentication (PTA): what an agent registers with, boots from, listens to,
// answers to and is judged by. Tests, the demo and the load driver use it where
// the cloud would stand.
//
// # Design
//
// [Start] opens two listeners on a loopback address, port 0: one TLS server that
// plays every host by its genuine name (the name in the TLS hello picks the
// part), and an HTTP proxy that understands CONNECT only. An agent reaches the
// names through [Cloud.DialContext], or through the proxy at [Cloud.ProxyURL],
// and trusts [Cloud.Roots]. No name leads anywhere else: an attempt to reach a
// host that is not one of the cloud's is refused and kept ([Cloud.Strays]).
//
// The parts: a token stub (authorization code with PKCE), registration, the
// tenant switch and inventory, trust renewal, bootstrap, the signalling relay
// (AMQP 1.0 in a WebSocket, SAS tokens), the rendezvous (.NET message framing,
// binary XML, plain and reliable sessions), the front end, and the sign-in
// service in front of all of them:
//
//	cloud, err := ptatest.Start(ptatest.Config{})
//	token := cloud.AdminToken()                      // for the registration
//	… start the agent with cloud.DialContext and cloud.Roots() …
//	err = cloud.WaitListening(ctx, 4)                // links that wait for requests
//	v, err := cloud.Authenticate(ctx, "alice@contoso.test", "password")
//	if v.OK || v.Code == "AADSTS50126" …
//	refusals := cloud.Refusals()                     // must be empty: see below
//
// [Cloud.SignIn] does the same with a choice of delivery mode, kind of session
// and [Faults]. [Cloud.SetFaults] sets faults for everything; [Cloud.Reconfigure]
// changes what the next bootstrap tells; [Cloud.RestartRelay], [Cloud.CutLinks],
// [Cloud.DetachLinks], [Cloud.Freeze], [Cloud.ExpireTokens] and [Cloud.Revoke]
// act at once.
//
// # What it judges
//
// The package shares nothing with the agent but the published description: it
// has its own AMQP, framing, binary XML and reliable messaging, imports no
// package of the agent, and does not import "testing", because the demo links
// it. It is stricter than the cloud: every rule of the wire contract is judged,
// the order of elements included, and a message that breaks one is refused and
// kept with the rule and the reason ([Cloud.Refusals]). What it did and saw is
// in [Cloud.Records], which is bounded; counters are in [Cloud.Stats].
//
// Where the description says that nothing public settles a question, the answer
// is a field of [Policy].
//
// It is not the cloud. What it accepts is likely, not certain, to be accepted
// there; Microsoft publishes no interface for agents of others.
//
// # Threat
//
// None of its keys, tokens and certificates is worth protecting: they are made
// for one process and die with it. It listens on loopback only. All readers are
// bounded, because a broken agent must not take a test machine down.
package ptatest
