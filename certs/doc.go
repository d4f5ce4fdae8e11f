// Package certs owns the keys of the service: the key that signs tokens, and
// apart from it the certificate of the public listener.
//
// Who has the token-signing key can sign in as anybody (threats C01), so the key
// leaves this package only as a [crypto.Signer], and its file is refused unless
// nobody but the service's user can read it, its directory included. A key and a
// certificate that do not belong together, a weak key or an expired certificate
// would make every token worthless at the relying party; all of it is found when
// they are loaded (C06), not when the first person signs in.
//
// [Keys] has a place for more than the current key: what is published besides it
// is a next certificate before it signs, or an earlier one whose tokens still
// live. Which key signs changes in one step for signer and metadata together.
//
// [Listener] is the TLS side: an ECDSA or RSA certificate that is read again when
// its files change, without a dropped connection. The package imports nothing of
// this module.
package certs
