package keystore

import "errors"

// ModuleConfig names a token in a PKCS#11 module.
type ModuleConfig struct {
	// Path is the maker's library.
	Path string
	// Token is the label of the token.
	Token string
	// PIN is the user PIN.
	PIN string
}

// ErrModuleAway says that a module did not answer in time, or that its device, session
// or login is gone: nothing is said of what it was asked.
var ErrModuleAway = errors.New("PKCS#11: the module does not answer")

// ErrNoModules says that this binary was built without PKCS#11.
var ErrNoModules = errors.New("this binary was built without PKCS#11: build it with CGO_ENABLED=1 go build -tags pkcs11 ./cmd/sallyport (see deploy/docs/certificates.md)")
