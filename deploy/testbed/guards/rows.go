package main

import (
	"slices"
	"strings"
)

// blocking lists the rows of the threat catalogue that block any release.
func blocking() []string {
	return strings.Fields(`
		V01 V02
		X01 X02 X03 X04 X05 X06 X07 X11
		S01 S02 S03 S04 S05 S06 S07 S12
		I01 I02 I03 I04 I05 I06
		W01 W02
		T01 T02 T03 T04 T07
		L01 L02 L03 L04 L05 L06 L07 L08
		D01 D02 D03 D04 D05 D06 D07 D08
		K01 K02 K03 K04 K05
		R01 R02 R03 R04 R05 R06 R07
		H01 H02 H03 H04 H07 H08 H13
		C01 C02 C03 C04 C05 C06 C07
		P01 P02 P03 P04 P05 P06 P08
		O01 O02`)
}

// further lists the rows that block nothing and have guards all the same: with them the
// pass-through agent has all of its own.
func further() []string { return []string{"P07", "P09", "P10", "P11"} }

// rows lists all of the catalogue that the table answers for.
func rows() []string { return slices.Concat(blocking(), further()) }

// reasons says of each blocking row without a guard here why it has none. A test
// holds the reason of the K rows true.
func reasons() map[string]string {
	const kerberos = "the product takes no Kerberos ticket: no Negotiate challenge is sent, no such library is linked"
	return map[string]string{
		"K01": kerberos, "K02": kerberos, "K03": kerberos, "K04": kerberos, "K05": kerberos,
	}
}
