package claims

import (
	"slices"
	"sort"
)

// presets are the claims that well-known parties need, as their makers' pages for
// AD FS list them.
var presets = map[string][]Rule{
	// SharePoint knows people by UPN or e-mail address and checks permissions by
	// role; Microsoft's AD FS page for it sends group names without the domain.
	"sharepoint": {
		{Type: "emailaddress", Attribute: "mail"},
		{Type: "upn", Attribute: "userPrincipalName"},
		{Type: "role", AllGroups: "name"},
	},
	// Outlook on the web and the Exchange admin center want UPN and the user's SID.
	"exchange": {
		{Type: "primarysid", Attribute: "objectSid"},
		{Type: "upn", Attribute: "userPrincipalName"},
	},
	// Dynamics 365 on-premises wants UPN, SID and DOMAIN\name as name.
	"dynamics": {
		{Type: "upn", Attribute: "userPrincipalName"},
		{Type: "primarysid", Attribute: "objectSid"},
		{Type: "name", Attribute: "windowsAccountName"},
	},
}

// PresetNames returns the names of the presets, in order.
func PresetNames() []string {
	names := make([]string, 0, len(presets))
	for n := range presets {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Preset returns the rules of a preset, none when there is no such.
func Preset(name string) []Rule { return slices.Clone(presets[name]) }
