package directorytest

import (
	"encoding/hex"
	"fmt"
	"time"
)

// DemoUsers returns users in every state that a sign-in can meet, for
// corp.contoso.test with the UPN suffix contoso.test. password is asked once for
// each sAMAccountName.
//
// The nested groups of olivia need [DemoGroups] beside it.
func DemoUsers(password func(sam string) string) []User {
	users := []User{
		{SAM: "alice", DisplayName: "Alice Archer", State: "normal", Language: "en-GB", Groups: []string{"Staff"}},
		{SAM: "bob", DisplayName: "Bob Baker", State: "normal", Language: "nl-NL", Groups: []string{"Staff"}, PasswordNeverExpires: true},
		{SAM: "ludwig", DisplayName: "Ludwig Locked", State: "locked in the directory", Locked: true, Data: dataLocked},
		{SAM: "dora", DisplayName: "Dora Disabled", State: "disabled", Disabled: true, Data: 0x533},
		{SAM: "alan", DisplayName: "Alan Ended", State: "account expired", AccountExpired: true, Data: 0x701},
		{SAM: "petra", DisplayName: "Petra Expired", State: "password expired", PasswordExpired: true, Data: 0x532},
		{SAM: "max", DisplayName: "Max Change", State: "must change password", MustChange: true, Data: 0x773},
		{SAM: "nora", DisplayName: "Nora Night", State: "outside logon hours", LogonHoursDenied: true, Data: 0x530},
		{SAM: "walter", DisplayName: "Walter Station", State: "only at workstation PC-17", Workstations: []string{"PC-17"}, Data: 0x531},
		{SAM: "rita", DisplayName: "Rita Restricted", State: "restricted (Protected Users)", Restricted: true, Groups: []string{"Protected Users"}, Data: 0x52f},
		{SAM: "soon", DisplayName: "Susan Soon", State: "password expires in 5 days", PasswordExpiresIn: 5*24*time.Hour + time.Hour},
		{SAM: "jmuller", UPN: "jörg.müller@contoso.test", DisplayName: "Jörg Müller", Language: "de-DE", State: "non-ASCII names"},
		{SAM: "nguyen", UPN: "nguyễn.hằng@contoso.test", DisplayName: "Nguyễn Hằng 阮姮", OU: "Việt Nam", State: "non-ASCII names beyond Latin-1"},
		{SAM: "jmueller (ext)", UPN: "j.o'mueller@contoso.test", CN: "Müller, Jörg (Ext) + *", OU: "Benutzer (DE)", Language: "de-DE",
			DisplayName: `Müller, Jörg (Extern) + Lager\2 <j@x> & "Söhne"`, State: "LDAP special characters", Groups: []string{"Zugriff (a)"}},
		{SAM: "olivia", DisplayName: "Olivia Groups", State: "300 groups, nested", Groups: demoDirectGroups()},
		{SAM: "carol", UPN: "dave@corp.contoso.test", DisplayName: "Carol Crossed", State: "UPN equals dave's implicit name"},
		{SAM: "dave", UPN: "carol@corp.contoso.test", DisplayName: "Dave Crossed", State: "UPN equals carol's implicit name"},
		{SAM: "erin", DisplayName: "Erin Moved", State: "mS-DS-ConsistencyGuid set", ConsistencyGUID: mustHex("33221100554477668899aabbccddeeff")},
		{SAM: "noupn", UPN: "-", DisplayName: "Nick Noupn", State: "no userPrincipalName"},
		{SAM: "sam.smartcard", DisplayName: "Sam Smartcard", State: "smart card required", SmartCard: true, Data: dataWrongPassword},
	}
	for i := range users {
		u := &users[i]
		switch u.UPN {
		case "":
			u.UPN = u.SAM + "@contoso.test"
		case "-":
			u.UPN = ""
		}
		u.Password = password(u.SAM)
		if u.UPN != "" && u.Attributes == nil {
			u.Attributes = map[string][]string{"mail": {u.UPN}}
		}
	}
	return users
}

const demoGroups = 300

// DemoGroups returns the groups of [DemoUsers]: 300 for olivia in chains of three
// with a cycle, and one whose name needs escaping inside another.
func DemoGroups() []Group {
	groups := []Group{
		{Name: "Staff"},
		{Name: "Zugriff (a)", CN: "Zugriff (a) + b, c", OU: "Gruppen", MemberOf: []string{"Alle Zugriffe"}},
		{Name: "Alle Zugriffe", OU: "Gruppen"},
	}
	for i := range demoGroups {
		g := Group{Name: demoGroup(i), OU: "Gruppen"}
		if i%3 != 2 {
			g.MemberOf = []string{demoGroup(i + 1)}
		}
		groups = append(groups, g)
	}
	groups[len(groups)-1].MemberOf = []string{demoGroup(demoGroups - 3)}
	return groups
}

func demoGroup(i int) string { return fmt.Sprintf("Team %03d", i) }

func demoDirectGroups() []string {
	var out []string
	for i := 0; i < demoGroups; i += 3 {
		out = append(out, demoGroup(i))
	}
	return out
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err) // constants only
	}
	return b
}
