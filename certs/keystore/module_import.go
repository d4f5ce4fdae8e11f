//go:build pkcs11

package keystore

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"
)

// errNoImport tells what is left where a module takes no key from outside, as modules
// in FIPS mode do.
const errNoImport = "the module takes no key from outside (%w): leave the farm's key where it is, make one in the module with sallyport certs stage, " +
	"and let Microsoft hold its certificate as nextSigningCertificate before this service takes over (deploy/docs/certificates.md, PKCS#11)"

// Import implements [certs.KeyStore]. From then on the key cannot be read from the
// module; the file from which it came is the admin's to destroy.
func (m *Module) Import(_ context.Context, ref string, key crypto.Signer) error {
	_, err := bounded(m, moduleOpens, func() (struct{}, error) { return struct{}{}, m.bringIn(ref, key) })
	return err
}

func (m *Module) bringIn(ref string, key crypto.Signer) error {
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return fmt.Errorf("a %T cannot be brought into a module: only an RSA key can", key)
	}
	private.Precompute()
	if len(private.Primes) != 2 || private.Precomputed.Qinv == nil {
		return errors.New("an RSA key of other than two primes cannot be brought into a module")
	}
	// A second handle of the same library: it shares the login of the first, which stays
	// open as long as the process lives.
	module := pkcs11.New(m.cfg.Path)
	if module == nil {
		return fmt.Errorf("%s cannot be loaded", m.cfg.Path)
	}
	session, err := m.openSession(module)
	if err != nil {
		return err
	}
	defer func() { _ = module.CloseSession(session) }()
	public, secret := templates(ref, private)
	defer func() {
		for _, a := range secret {
			clear(a.Value)
		}
	}()
	handle, err := module.CreateObject(session, secret)
	if err != nil {
		return fmt.Errorf(errNoImport, err)
	}
	if _, err := module.CreateObject(session, public); err != nil {
		return errors.Join(fmt.Errorf(errNoImport, err), module.DestroyObject(session, handle))
	}
	return nil
}

// openSession opens a session that may write, on the token of the settings.
func (m *Module) openSession(module *pkcs11.Ctx) (pkcs11.SessionHandle, error) {
	if err := module.Initialize(); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return 0, err
	}
	slots, err := module.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	for _, slot := range slots {
		info, err := module.GetTokenInfo(slot)
		if err != nil || info.Label != m.cfg.Token {
			continue
		}
		session, err := module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		if err != nil {
			return 0, err
		}
		if err := module.Login(session, pkcs11.CKU_USER, m.cfg.PIN); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
			return 0, errors.Join(err, module.CloseSession(session))
		}
		return session, nil
	}
	return 0, fmt.Errorf("token %q is not there any more", m.cfg.Token)
}

// templates are the two objects of a key: the private one can sign and nothing else,
// and cannot be read.
func templates(ref string, key *rsa.PrivateKey) (public, private []*pkcs11.Attribute) {
	named := func(class uint) []*pkcs11.Attribute {
		return []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA),
			pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(ref)), pkcs11.NewAttribute(pkcs11.CKA_LABEL, []byte("sallyport "+ref)),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_MODULUS, key.N.Bytes()),
			pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, big.NewInt(int64(key.E)).Bytes()),
		}
	}
	public = append(named(pkcs11.CKO_PUBLIC_KEY), pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true))
	private = append(named(pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, false), pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE_EXPONENT, key.D.Bytes()),
		pkcs11.NewAttribute(pkcs11.CKA_PRIME_1, key.Primes[0].Bytes()), pkcs11.NewAttribute(pkcs11.CKA_PRIME_2, key.Primes[1].Bytes()),
		pkcs11.NewAttribute(pkcs11.CKA_EXPONENT_1, key.Precomputed.Dp.Bytes()), pkcs11.NewAttribute(pkcs11.CKA_EXPONENT_2, key.Precomputed.Dq.Bytes()),
		pkcs11.NewAttribute(pkcs11.CKA_COEFFICIENT, key.Precomputed.Qinv.Bytes()))
	return public, private
}
