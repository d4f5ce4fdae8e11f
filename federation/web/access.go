package web

import "net/http"

// Access says for whom a door without a browser is there. The zero value is off, and
// so is any value that is none of these.
type Access uint8

// The accesses.
const (
	Off        Access = iota
	Inside            // clients in the corporate networks
	Everywhere        // everybody
)

// Admits reports whether the door is there for the client of the request.
func (a Access) Admits(r *http.Request) bool {
	return a == Everywhere || a == Inside && From(r.Context()).Inside
}
