//go:build !pkcs11

package keystore

import "sallyport/certs"

// OpenModule returns [ErrNoModules]: the module's library needs cgo, which the static
// binary does without.
func OpenModule(ModuleConfig) (certs.KeyStore, error) { return nil, ErrNoModules }
