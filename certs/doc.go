// Package certs owns the keys of the service: the keys that sign tokens, with
// their whole life, and apart from them the certificate of the public listener.
//
// # Threats
//
// Who has the token-signing key can sign in as anybody (threats C01), so the key
// leaves this package only as a [crypto.Signer], and a key file is refused unless
// nobody but the service's user can read it, its directory included. A key and a
// certificate that do not belong together, a weak key or an expired certificate
// would make every token worthless at the relying party; all of it is found when
// they are loaded (C06), not when the first person signs in. Two instances that
// sign with different keys, a key that signs before its parties know it, and one
// that vanishes while its tokens live are the other ways to keep everybody out.
//
// # The life of a key
//
// A [Ledger] says where each key stands: staged, published, signing, retired, gone
// ([State]). It is one document in a [Store] (a directory that instances share, or
// a shared store that keeps it sealed), and it changes only by compare-and-swap,
// after which it is durable; what it says is in force afterwards and not before.
// The private keys lie in a [KeyStore], durable before the ledger names them. So
// every crash leaves one of two good states, and whoever comes next goes on.
//
// It is a closed loop rather than a timer: the next key is made (by one holder of a
// lease), published by every instance, pushed to the parties that are pushed to
// ([Trust]), read back from them, proved with a token ([Prove]), and promoted only
// when every live instance holds it and each party is known to hold it or had its
// time to read it. The earlier certificate stays listed until its last token has
// expired. An alarm is raised when the end comes near and the proof does not stand.
//
// [Manager] is the loop of one instance. What the command line does goes through
// the same transitions on the same ledger, so it works beside a running service,
// and without one.
//
// # What is in force
//
// [Keys] is the set that an instance uses now: the current key and what is listed
// besides it. It changes in one step for signer and metadata together, at the
// instant that the ledger gives ([Entry].SignsFrom), on all instances.
//
// [Listener] is the TLS side: a certificate that is read again when its files
// change, without a dropped connection. The package imports nothing of this module.
package certs
