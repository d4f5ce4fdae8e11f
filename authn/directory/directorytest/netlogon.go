package directorytest

import (
	"encoding/binary"
	"strings"
)

// Flags of a NETLOGON_SAM_LOGON_RESPONSE_EX ([MS-ADTS] 6.3.1.2).
const (
	flagPDC      = 0x1
	flagGC       = 0x4
	flagLDAP     = 0x8
	flagDS       = 0x10
	flagKDC      = 0x20
	flagTime     = 0x40
	flagClosest  = 0x80
	flagWritable = 0x100
	flagRODC     = 0x800
	flagFull2008 = 0x1000
	flagADWS     = 0x2000
	flag2012     = 0x4000
)

// netlogon answers an LDAP ping ([MS-ADTS] 6.3.3): nil when the filter asks for
// another domain or not for the extended form.
func (dc *DC) netlogon(f *filter) []byte {
	version := uint32(0)
	domain := dc.d.Domain
	for _, k := range append(f.kids, f) {
		switch strings.ToLower(k.attr) {
		case "ntver":
			if len(k.value) == 4 {
				version = binary.LittleEndian.Uint32(k.value)
			}
		case "dnsdomain":
			domain = string(k.value)
		}
	}
	if version&6 == 0 || !strings.EqualFold(strings.TrimSuffix(domain, "."), dc.d.Domain) {
		return nil
	}
	flags := uint32(flagGC | flagLDAP | flagDS | flagKDC | flagTime | flagClosest | flagFull2008 | flagADWS | flag2012)
	if dc.settings().RODC {
		flags |= flagRODC
	} else {
		flags |= flagWritable
	}
	if dc.index == 0 {
		flags |= flagPDC
	}
	guid := dc.d.db.byKey[dc.d.db.baseKey].guid
	b := binary.LittleEndian.AppendUint16(nil, 23)
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = append(b, guid[:]...)
	b = appendName(b, dc.d.Domain)
	pointer := []byte{0xc0, 24} // the forest name, which is the domain's
	b = append(b, pointer...)
	host, _, _ := strings.Cut(dc.Name, ".")
	b = append(append(append(b, byte(len(host))), host...), pointer...)
	b = appendName(b, strings.ReplaceAll(dc.d.NetBIOS, ".", ""))
	b = appendName(b, dc.hostName())
	b = append(b, 0) // no user
	site := len(b)
	b = appendName(b, dc.d.cfg.Site)
	b = append(b, 0xc0|byte(site>>8), byte(site))
	b = binary.LittleEndian.AppendUint32(b, 5)
	return append(b, 0xff, 0xff, 0xff, 0xff)
}

// appendName writes a domain name as RFC 1035 4.1.4 does, uncompressed.
func appendName(b []byte, name string) []byte {
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}
