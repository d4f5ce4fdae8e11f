// Package telemetry is what operators see of the running service: structured
// logs, metrics, health, and a control socket.
//
// Logs are the place where secrets usually get out, so the logger does not rely
// on its callers: values under the names of secrets are replaced, addresses lose
// their queries, and a value of a type that was not made for logs is left out
// instead of being printed with all its fields (threats L08). Characters that
// could make one record look like two are escaped (H10).
//
// The [Ops] listener changes nothing and belongs on a loopback or management
// address; what changes something is behind the [Control] socket, which only the
// service's own user can open (H11). Neither is ever routed by the public
// listener.
package telemetry
