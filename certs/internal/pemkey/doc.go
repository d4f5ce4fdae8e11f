// Package pemkey reads and writes private keys and certificates in PEM form:
// PKCS#8 plain and encrypted, PKCS#1 and SEC 1 on the way in, PKCS#8 on the way
// out. What openssl writes is read, and openssl reads what is written.
//
// An encrypted key is PBES2 (RFC 8018 §6.2) with PBKDF2-HMAC and AES-CBC. The form
// has no check of its own, so a wrong passphrase and a damaged file look the same;
// a key is judged by a signature before it is used. Errors never repeat what a file
// holds.
package pemkey
