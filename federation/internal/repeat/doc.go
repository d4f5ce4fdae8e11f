// Package repeat gives copies of a refused message its first verdict.
//
// Clients without a browser send a refused message again by themselves. If each copy
// were a bind of its own, one wrong password would lock the account. The first copy
// that arrives, on whichever instance, is judged; the others wait for it. Only
// refusals are shared: a copy of an accepted message is judged for itself, and so is
// one that comes after nobody could judge the first; copies that waited with that one
// get its answer, since all of them judged at once would be as many failures. When the
// shared notes cannot be used, this instance's own memory still holds.
//
// What is remembered is a keyed hash and a reason. A message is never refused for
// having been seen: who holds it holds the password.
package repeat
