// Package testbed holds tests of the whole product against software that nobody
// here wrote: Samba as AD DS, Redis, nginx, Chromium, xmlsec1 and a foreign
// relying party. The script run beside this file starts them; package lab finds
// them. The package itself is empty and no shipped binary contains it.
package testbed
