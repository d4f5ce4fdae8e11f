// Package web is the HTTP edge of the federation service: everything that
// happens to a request before and after a protocol looks at it.
//
// # Design
//
// A protocol or page package implements [Mount] and registers [Route] values
// whose [Handler] returns an error. The [Edge] finds out who the client is,
// bounds the request, routes it, and is the one place that turns an error into
// a page (through [ErrorPage]), a log record and a metric. What it learned of
// the request is in the context; see [From]. The [Server] is the net/http server
// around an Edge, with every time limit set, connection limits and an orderly
// shutdown.
//
// # Threat
//
// The edge faces anybody. It trusts nothing that a client can write: forwarding
// headers count only from configured proxies, only one of the two kinds is read
// (a proxy passes the other one through unseen), and all of them are deleted
// before a handler runs; no URL is ever built from the Host header, which is
// only compared with a list. A client whose address cannot be told for certain
// is never inside the corporate network. Bodies, headers, targets, parameter
// counts, connections and concurrent requests are bounded before work is done.
// Queries and bodies hold tokens, passwords and names: none of them is logged.
//
// # Choices where specifications are silent
//
//   - Paths are compared without regard to ASCII case, with doubled and trailing
//     slashes removed, as HTTP.sys under AD FS tolerates them; nothing is ever
//     redirected to a cleaned path, since a POST would lose its body. Dot
//     segments, encoded slashes and backslashes name no page.
//   - A Host is allowed by its name; its port is not compared, since nothing is
//     built from either.
//   - Cross-Origin-Opener-Policy is not sent: it would cut the opener of
//     applications that sign in by a pop-up.
//
// Short names used in comments: RFC 9110 HTTP Semantics, RFC 9112 HTTP/1.1, RFC
// 7239 Forwarded HTTP Extension, RFC 6797 HSTS, CSP3 Content Security Policy Level
// 3, PROXY the PROXY protocol specification of HAProxy, version 2.
package web
