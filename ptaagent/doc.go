// Package ptaagent is an agent for Microsoft Entra pass-through authentication: the
// cloud shows the sign-in page and asks the agent, over connections that the agent
// opened, whether a password is right. The agent decrypts it, puts it through the
// one password pipeline ([Passwords]) and posts the verdict.
//
// # The way of a request
//
//	signal        a relay session brings SignalConnector; it is acknowledged at once (Agent.Signal)
//	request       in the signal itself, or fetched over a WebSocket at the front end (fetch.go)
//	checks        tenant, addresses, repetition, the user's suffix (judge.go)
//	password      RSA-OAEP with a key of ours (decrypt.go), then the pipeline, within the budget
//	verdict       a claim with a Win32 number, posted over mutual TLS (result.go)
//
// Beside that run the heartbeat, which reconciles the listeners with what bootstrap
// hands out, and the renewal of the certificate, which is proved by a bootstrap
// before it takes the place of the old one (heartbeat.go, renew.go).
//
// # Threat
//
// The key is worth as much as a domain controller's: whoever has it reads the
// passwords of the tenant. It stays in its file (mode 0600, own directory). Hosts
// that answers and signals name must lie below the suffixes of the configured cloud
// ([Cloud]); certificates are checked against the system's roots; redirects are
// refused. A request is answered once; what is answered late is not answered. An
// entry that is missing, for another key, or that cannot be decrypted looks to the
// cloud like a wrong password, in code and in timing class: there is no decryption
// oracle. A verdict is positive only after a domain controller accepted the
// password; an outage has a number of its own. Passwords are wiped after use;
// copies that libraries make are out of reach.
//
// Repetition is judged by the encrypted entry, and by transaction and request id
// together, not by the transaction alone: one browser flow may carry a second try.
//
// # What is known
//
// Microsoft publishes no interface for agents of others and may change it or block
// such agents at any time; the documented federation protocols are the supported
// road. Public research has confirmed, by several witnesses: registration,
// bootstrap, the signalling link and the relay's framing. By one witness: reliable
// sessions, the three ways of delivery, the key entries, the result's claims and the
// body of renewal. Inferred: what the cloud does with late, missing or unknown
// results, ends of sessions, drained credit. The whole has been judged only by the
// stand-in in ptatest, which was written apart from it, and never by the cloud.
package ptaagent
