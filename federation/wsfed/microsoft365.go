package wsfed

import (
	"fmt"
	"time"

	"sallyport/federation"
)

// Microsoft365Key is the key of the built-in party.
const Microsoft365Key = "microsoft365"

// Microsoft365Config is what may be set of the built-in party.
type Microsoft365Config struct {
	// Cloud is global (also when empty), usgov or china.
	Cloud string
	// ReplyURLs replaces the cloud's addresses when not empty; the first is the
	// default.
	ReplyURLs []string
	// TokenLifetime is how long a token holds; zero means 60 minutes.
	TokenLifetime time.Duration
	// FrameOrigins are those of [federation.RelyingParty].
	FrameOrigins []string
}

// Microsoft365 returns the built-in party. The addresses of the global cloud are
// those which Microsoft's own tools put on the AD FS trust: ests, stamp2 and ccs
// are ways in on the day the main one is ill, so they must work before that day;
// the path of ccs differs between two of Microsoft's lists, so both are here.
func Microsoft365(cfg Microsoft365Config) (*federation.RelyingParty, error) {
	rp := &federation.RelyingParty{
		Key: Microsoft365Key, Name: "Microsoft 365", Identifiers: []string{federation.MicrosoftOnline},
		Microsoft365: true, TokenType: federation.SAML11, TokenLifetime: cfg.TokenLifetime,
		FrameOrigins: cfg.FrameOrigins,
	}
	switch cfg.Cloud {
	case "", "global":
		rp.StartURL = "https://www.office.com/"
		rp.ReplyURLs = []string{
			"https://login.microsoftonline.com/login.srf",
			"https://ests.login.microsoftonline.com/login.srf",
			"https://stamp2.login.microsoftonline.com/login.srf",
			"https://ccs.login.microsoftonline.com/login.srf",
			"https://ccs.login.microsoftonline.com/ccs/login.srf",
			"https://ccs-sdf.login.microsoftonline.com/login.srf",
			"https://ccs-sdf.login.microsoftonline.com/ccs/login.srf",
		}
	case "usgov":
		rp.StartURL = "https://www.office365.us/"
		rp.ReplyURLs = []string{"https://login.microsoftonline.us/login.srf"}
	case "china":
		rp.StartURL = "https://portal.partner.microsoftonline.cn/"
		rp.ReplyURLs = []string{"https://login.partner.microsoftonline.cn/login.srf"}
	default:
		return nil, fmt.Errorf("wsfed: cloud %q is none of global, usgov, china", cfg.Cloud)
	}
	if len(cfg.ReplyURLs) > 0 {
		rp.ReplyURLs = cfg.ReplyURLs
	}
	return rp, nil
}
