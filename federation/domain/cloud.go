package domain

import "fmt"

// Cloud is one of Microsoft's clouds: where an application gets its token, and
// where Microsoft Graph answers.
type Cloud struct {
	// Login and Graph are origins without a path, https://HOST.
	Login, Graph string
}

// clouds are the national clouds ("Microsoft Graph national cloud deployments").
var clouds = map[string]Cloud{
	"global": {"https://login.microsoftonline.com", "https://graph.microsoft.com"},
	"usgov":  {"https://login.microsoftonline.us", "https://graph.microsoft.us"},
	"china":  {"https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"},
}

// CloudNamed returns the origins of global, usgov (GCC High, L4) or china; the
// L5 cloud differs from usgov in Graph's origin, https://dod-graph.microsoft.us.
func CloudNamed(name string) (Cloud, error) {
	c, ok := clouds[name]
	if !ok {
		return Cloud{}, fmt.Errorf("domain: cloud %q is not known", name)
	}
	return c, nil
}
