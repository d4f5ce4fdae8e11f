// Package relay is the listener's half of the WCF relay of Microsoft's cloud: it
// waits on a signalling link for notifications, dials the relay instance that each
// of them names, and serves a request/reply session over it. It knows nothing of
// what the requests mean ([Handler]).
//
// # Layers
//
//	link        AMQP 1.0 over a WebSocket; authorised by a SAS token    link.go, sas.go
//	notice      OnewaySend around RelayedConnect, in binary XML         notice.go
//	rendezvous  a second WebSocket, RelayedAccept and its reply         rendezvous.go
//	framing     preamble and sized envelopes of [MC-NMF]                framing.go
//	session     plain request/reply, or WS-ReliableMessaging            session.go, reliable.go
//
// AMQP is github.com/Azure/go-amqp over the net.Conn that the WebSocket offers; the
// rest is written here.
//
// # Life of a link
//
// [Listener.Run] keeps one endpoint connected. A link is renewed by opening a second
// one and draining the first, so that no notification falls between them: before its
// SAS token expires, when nothing has been heard for a while (a half-open
// connection looks the same as a quiet one), and when the clock has jumped, as it
// does when a machine sleeps. A lost link is opened again after a pause that grows
// and is jittered. Relayed connections belong to the listener and not to the link:
// they live on when it is replaced.
//
// # Threat
//
// Whoever can write to the relay path, or breaks into the relay, controls every
// byte that is read here. All readers are bounded and refuse what they do not know;
// an error ends one relayed connection, never the link. A notification may name only
// hosts of the endpoint's own domain, so it cannot be used to make this machine
// dial elsewhere. The number of relayed connections is bounded, and so is what a
// session keeps.
//
// # What is known of the protocol
//
// Confirmed by public research, several witnesses: addresses, sub-protocols, SASL
// EXTERNAL, link properties, SAS format, notification, accept and reply, framing.
// One witness: the reliable session, pings. Inferred: resending of replies, ends of
// sequences, faults, what the relay does with a token that expires, and that it
// honours a drain of credit; each has a safe default here. Only the stand-in of
// this repository has judged the whole.
//
// Short names:
//
//	[MC-NMF]   .NET Message Framing Protocol
//	[WS-RM]    Web Services Reliable Messaging Protocol, February 2005
package relay
