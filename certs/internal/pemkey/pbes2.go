package pemkey

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // older files derive their key with it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"hash"
)

// The algorithms of RFC 8018 appendix A and RFC 3565.
var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES128 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

const (
	// iterations is for passphrases that people may have chosen.
	iterations = 600_000
	// fewIterations is for 256 random bits, which nobody can search with any number of
	// iterations or with none. It is what openssl writes.
	fewIterations = 2048
	// maxIterations bounds the time that a file can cost.
	maxIterations = 2_000_000
)

// iterationsFor returns how often a passphrase is hashed. 64 hexadecimal digits, as
// openssl rand -hex 32 writes them, are no words: 12 or more of the 16 digits stand in
// them, but for one time in six million, which then costs time alone.
func iterationsFor(passphrase []byte) int {
	seen := map[byte]bool{}
	for _, c := range passphrase {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return iterations
		}
		seen[c] = true
	}
	if len(passphrase) < 64 || len(seen) < 12 {
		return iterations
	}
	return fewIterations
}

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Parameters struct{ KDF, Cipher pkix.AlgorithmIdentifier }

type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

var (
	errForm   = errors.New("an encrypted key in a form that is not read here: write it with openssl pkcs8 -topk8 -v2 aes-256-cbc")
	errUnlock = errors.New("the passphrase is wrong, or the file is damaged")
)

// unlock returns the PKCS#8 key inside an EncryptedPrivateKeyInfo (RFC 5958 §3).
func unlock(der, passphrase []byte) ([]byte, error) {
	var outer encryptedKey
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 {
		return nil, errUnlock
	}
	var p pbes2Parameters
	var kdf pbkdf2Parameters
	var iv []byte
	if !outer.Algorithm.Algorithm.Equal(oidPBES2) || unmarshal(outer.Algorithm, &p) != nil || !p.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, errForm
	}
	if unmarshal(p.KDF, &kdf) != nil || unmarshal(p.Cipher, &iv) != nil {
		return nil, errForm
	}
	size, prf := keySize(p.Cipher.Algorithm), prfOf(kdf.PRF.Algorithm)
	if size == 0 || prf == nil || len(iv) != aes.BlockSize || kdf.Iterations < 1 || kdf.Iterations > maxIterations ||
		(kdf.KeyLength != 0 && kdf.KeyLength != size) {
		return nil, errForm
	}
	key, err := pbkdf2.Key(prf, string(passphrase), kdf.Salt, kdf.Iterations, size)
	if err != nil {
		return nil, errForm
	}
	block, err := aes.NewCipher(key)
	if err != nil || len(outer.Data) == 0 || len(outer.Data)%aes.BlockSize != 0 {
		return nil, errUnlock
	}
	plain := make([]byte, len(outer.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, outer.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, errUnlock
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, errUnlock
		}
	}
	return plain[:len(plain)-pad], nil
}

func unmarshal(a pkix.AlgorithmIdentifier, into any) error {
	rest, err := asn1.Unmarshal(a.Parameters.FullBytes, into)
	if err == nil && len(rest) > 0 {
		err = errForm
	}
	return err
}

func keySize(oid asn1.ObjectIdentifier) int {
	switch {
	case oid.Equal(oidAES128):
		return 16
	case oid.Equal(oidAES192):
		return 24
	case oid.Equal(oidAES256):
		return 32
	default:
		return 0
	}
}

func prfOf(oid asn1.ObjectIdentifier) func() hash.Hash {
	switch {
	case len(oid) == 0 || oid.Equal(oidSHA1): // the default of RFC 8018
		return sha1.New
	case oid.Equal(oidSHA256):
		return sha256.New
	case oid.Equal(oidSHA512):
		return sha512.New
	default:
		return nil
	}
}

// lock encrypts a PKCS#8 key: AES-256-CBC, PBKDF2-HMAC-SHA256.
func lock(der, passphrase []byte) ([]byte, error) {
	var salt [16]byte
	var iv [aes.BlockSize]byte
	_, _ = rand.Read(salt[:])
	_, _ = rand.Read(iv[:])
	times := iterationsFor(passphrase)
	key, err := pbkdf2.Key(sha256.New, string(passphrase), salt[:], times, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(der)%aes.BlockSize
	data := make([]byte, len(der)+pad)
	copy(data, der)
	for i := len(der); i < len(data); i++ {
		data[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(block, iv[:]).CryptBlocks(data, data)
	null := asn1.RawValue{Tag: asn1.TagNull}
	kdf, err := asn1.Marshal(pbkdf2Parameters{Salt: salt[:], Iterations: times, PRF: pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: null}})
	if err != nil {
		return nil, err
	}
	ivDER, err := asn1.Marshal(iv[:])
	if err != nil {
		return nil, err
	}
	p, err := asn1.Marshal(pbes2Parameters{
		KDF:    pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: kdf}},
		Cipher: pkix.AlgorithmIdentifier{Algorithm: oidAES256, Parameters: asn1.RawValue{FullBytes: ivDER}},
	})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(encryptedKey{pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: p}}, data})
}
