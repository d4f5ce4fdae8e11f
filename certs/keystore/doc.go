// Package keystore keeps private signing keys: in files ([Files]), sealed in a store
// that instances share ([Sealed]), or in a PKCS#11 module that never gives them out
// (OpenModule, in builds with the tag pkcs11). [ReadPFX] reads what AD FS exports.
//
// A key file is refused where others could read or exchange it (threats C01), may be
// encrypted with a passphrase from another file, and is overwritten before it is
// removed. A sealed key is opened by a key-encryption key that every instance has as
// a file and the shared store never has: who reads the store learns nothing, and who
// writes to it can make signing fail but cannot put a key of his own in place, since
// every key is proved to belong to the certificate in the ledger before it is used.
//
// PKCS#11 needs cgo and the C library of the module's maker. The shipped binary is
// static and has neither, so it says so when the settings name a module; a build
// with -tags pkcs11 and CGO_ENABLED=1 has it.
package keystore
