// Package testbed holds tests of the whole product against software that nobody
// here wrote: Samba as AD DS, Redis, nginx, Chromium, xmlsec1, MSAL and foreign
// parties of WS-Federation and SAML 2.0. The script run beside this file starts
// them; package lab finds them. The package itself is empty and no shipped binary
// contains it.
package testbed
